// A scheduler extender that does nothing, as one is usually written in Go: encoding/json over the published types.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	extender "k8s.io/kube-scheduler/extender/v1"
)

func main() {
	http.HandleFunc("/filter", func(reply http.ResponseWriter, request *http.Request) {
		var args extender.ExtenderArgs
		if err := json.NewDecoder(request.Body).Decode(&args); err != nil {
			http.Error(reply, err.Error(), http.StatusBadRequest)
			return
		}
		answer(reply, extender.ExtenderFilterResult{NodeNames: args.NodeNames})
	})
	http.HandleFunc("/prioritize", func(reply http.ResponseWriter, request *http.Request) {
		var args extender.ExtenderArgs
		if err := json.NewDecoder(request.Body).Decode(&args); err != nil {
			http.Error(reply, err.Error(), http.StatusBadRequest)
			return
		}
		scores := make(extender.HostPriorityList, len(*args.NodeNames))
		for i, name := range *args.NodeNames {
			scores[i].Host = name
		}
		answer(reply, scores)
	})
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

func answer(reply http.ResponseWriter, value any) {
	reply.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(reply).Encode(value); err != nil {
		log.Print(err)
	}
}
