// Command kind-config-check says whether kind could make a cluster from a configuration file,
// without Docker.
//
// It does what kind does before it starts a container: decode strictly, default, validate; then,
// for each node, generate kubeadm's configuration for the node image's Kubernetes version and
// apply the file's patches. The outcome goes through kubeadm's own strict validation, and a patch
// that changes nothing (a misspelled kind, say) is an error too. kind keeps these steps in internal
// packages; the module path of this program, below kind's, is what lets it import them.
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"k8s.io/klog/v2"
	kubeadmconfig "k8s.io/kubernetes/cmd/kubeadm/app/util/config"

	"sigs.k8s.io/kind/pkg/cluster/constants"
	"sigs.k8s.io/kind/pkg/cluster/internal/kubeadm"
	"sigs.k8s.io/kind/pkg/internal/apis/config"
	"sigs.k8s.io/kind/pkg/internal/apis/config/encoding"
	"sigs.k8s.io/kind/pkg/internal/patch"
)

// imageVersion finds the Kubernetes version in a node image such as kindest/node:v1.36.3@sha256:….
var imageVersion = regexp.MustCompile(`:(v\d+\.\d+\.\d+)(@sha256:[0-9a-f]{64})?$`)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kind-config-check kind-config.yaml")
		os.Exit(2)
	}
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard) // kubeadm warns of each document that one of its checks leaves to another
	nodes, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Printf("%s: valid, %d nodes\n", os.Args[1], nodes)
}

// check returns the number of nodes that the file describes.
func check(path string) (int, error) {
	cluster, err := encoding.Load(path)
	if err != nil {
		return 0, err
	}
	if cluster.Name == "" {
		cluster.Name = constants.DefaultClusterName
	}
	if err := cluster.Validate(); err != nil {
		return 0, err
	}
	for index := range cluster.Nodes {
		if err := checkNode(cluster, &cluster.Nodes[index]); err != nil {
			return 0, fmt.Errorf("nodes[%d]: %w", index, err)
		}
	}
	return len(cluster.Nodes), nil
}

func checkNode(cluster *config.Cluster, node *config.Node) error {
	found := imageVersion.FindStringSubmatch(node.Image)
	if found == nil {
		return fmt.Errorf("image %q names no Kubernetes version; give one such as kindest/node:v1.36.3", node.Image)
	}
	generated, err := kubeadm.Config(configData(cluster, node, found[1]))
	if err != nil {
		return err
	}
	patched := generated
	for _, step := range []struct {
		patches []string
		json    []config.PatchJSON6902
	}{
		{cluster.KubeadmConfigPatches, cluster.KubeadmConfigPatchesJSON6902},
		{node.KubeadmConfigPatches, node.KubeadmConfigPatchesJSON6902},
	} {
		if patched, err = applyEach(patched, step.patches, step.json); err != nil {
			return err
		}
	}
	// kind's generator names the documents for its patches to match; kubeadm knows no such field.
	patched = strings.ReplaceAll(patched, "metadata:\n  name: config\n", "")
	if err := kubeadmconfig.ValidateConfig([]byte(patched), false, false); err != nil {
		return fmt.Errorf("kubeadm refuses the patched configuration: %w", err)
	}
	return nil
}

// configData describes a node to kind's generator; addresses are placeholders, which only a
// running container would know.
func configData(cluster *config.Cluster, node *config.Node, version string) kubeadm.ConfigData {
	labels := make([]string, 0, len(node.Labels))
	for key, value := range node.Labels {
		labels = append(labels, key+"="+value)
	}
	return kubeadm.ConfigData{
		ClusterName:          cluster.Name,
		KubernetesVersion:    version,
		ControlPlaneEndpoint: "kind-control-plane:6443",
		APIBindPort:          6443,
		APIServerAddress:     cluster.Networking.APIServerAddress,
		NodeProvider:         "docker",
		ControlPlane:         string(node.Role) == constants.ControlPlaneNodeRoleValue,
		NodeAddress:          "172.18.0.2",
		NodeName:             "kind-node",
		Token:                kubeadm.Token,
		KubeProxyMode:        string(cluster.Networking.KubeProxyMode),
		PodSubnet:            cluster.Networking.PodSubnet,
		ServiceSubnet:        cluster.Networking.ServiceSubnet,
		FeatureGates:         cluster.FeatureGates,
		RuntimeConfig:        cluster.RuntimeConfig,
		IPFamily:             cluster.Networking.IPFamily,
		NodeLabels:           strings.Join(labels, ","),
	}
}

// applyEach applies patches one at a time, so that one without effect can be told.
func applyEach(document string, patches []string, jsonPatches []config.PatchJSON6902) (string, error) {
	unpatched, err := patch.KubeYAML(document, nil, nil)
	if err != nil {
		return "", err
	}
	for index, each := range patches {
		patched, err := patch.KubeYAML(unpatched, []string{each}, nil)
		if err != nil {
			return "", fmt.Errorf("kubeadmConfigPatches[%d]: %w", index, err)
		}
		if patched == unpatched {
			return "", fmt.Errorf("kubeadmConfigPatches[%d] changes nothing; check its kind and apiVersion", index)
		}
		unpatched = patched
	}
	for index, each := range jsonPatches {
		patched, err := patch.KubeYAML(unpatched, nil, []config.PatchJSON6902{each})
		if err != nil {
			return "", fmt.Errorf("kubeadmConfigPatchesJSON6902[%d]: %w", index, err)
		}
		if patched == unpatched {
			return "", fmt.Errorf("kubeadmConfigPatchesJSON6902[%d] changes nothing; check its kind and apiVersion", index)
		}
		unpatched = patched
	}
	return unpatched, nil
}
