// Command control-plane is a whole Kubernetes control plane in one binary.
//
// It is the component whose name it is called by (etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler or kubectl, as a symbolic link); called by its own name, the first argument is
// the component's name. Linking the five together shares most of their code: one build and one
// file instead of five of each.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

var commands = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { run(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { run(scheduler.NewSchedulerCommand()) },
	"kubectl":                 func() { run(kubectl.NewDefaultKubectlCommand()) },
}

func main() {
	if component, known := commands[filepath.Base(os.Args[0])]; known {
		component()
		return
	}
	if len(os.Args) > 1 {
		if component, known := commands[os.Args[1]]; known {
			// Components parse os.Args themselves: the one chosen must not see its own selector.
			os.Args = os.Args[1:]
			component()
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: control-plane etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubectl [flags]")
	os.Exit(2)
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}
