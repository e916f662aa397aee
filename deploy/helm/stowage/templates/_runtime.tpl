{{/* Where each runtime has its socket and its images. `containerd`: its files show the progress of pulls. */}}
{{- define "stowage.runtimes" -}}
containerd: { socket: /run/containerd/containerd.sock, root: /var/lib/containerd, containerd: true }
k3s: { socket: /run/k3s/containerd/containerd.sock, root: /var/lib/rancher/k3s/agent/containerd, containerd: true }
rke2: { socket: /run/k3s/containerd/containerd.sock, root: /var/lib/rancher/rke2/agent/containerd, containerd: true }
k0s: { socket: /run/k0s/containerd.sock, root: /var/lib/k0s/containerd, containerd: true }
microk8s: { socket: /var/snap/microk8s/common/run/containerd.sock, root: /var/snap/microk8s/common/var/lib/containerd, containerd: true }
crio: { socket: /run/crio/crio.sock, root: /var/lib/containers/storage, containerd: false }
cri-dockerd: { socket: /run/cri-dockerd.sock, root: /var/lib/docker, containerd: false }
docker-shim: { socket: /run/stowage/docker-shim.sock, root: /var/lib/docker, containerd: false }
{{- end -}}

{{/* The runtime of a Node, by what its kubelet reports. */}}
{{- define "stowage.runtimeOfNode" -}}
{{- $runtime := .status.nodeInfo.containerRuntimeVersion -}}
{{- $kubelet := .status.nodeInfo.kubeletVersion -}}
{{- if hasPrefix "cri-o://" $runtime -}}crio
{{- else if hasPrefix "docker://" $runtime -}}cri-dockerd
{{- else if not (hasPrefix "containerd://" $runtime) -}}
{{- fail (printf "runtime: auto does not know %s of node %s; name the runtime" $runtime .metadata.name) -}}
{{- else if contains "+rke2" $kubelet -}}rke2
{{- else if contains "+k3s" $kubelet -}}k3s
{{- else if contains "+k0s" $kubelet -}}k0s
{{- else if eq "true" (get (.metadata.labels | default dict) "microk8s.io/cluster" | toString) -}}microk8s
{{- else -}}containerd
{{- end -}}
{{- end -}}

{{/* Name of the runtime: what the values say, or what the nodes report that get the services. */}}
{{- define "stowage.runtimeName" -}}
{{- if ne .Values.runtime "auto" -}}
{{- .Values.runtime -}}
{{- else -}}
{{- $found := dict -}}
{{- range $node := (lookup "v1" "Node" "" "").items -}}
{{- $chosen := true -}}
{{- range $label, $value := $.Values.nodeSelector -}}
{{- if ne $value (get ($node.metadata.labels | default dict) $label | toString) -}}{{- $chosen = false -}}{{- end -}}
{{- end -}}
{{- if $chosen -}}
{{- $name := include "stowage.runtimeOfNode" $node -}}
{{- $_ := set $found $name (append (get $found $name | default list) $node.metadata.name) -}}
{{- end -}}
{{- end -}}
{{- if gt (len $found) 1 -}}
{{- $kinds := list -}}
{{- range $name, $nodes := $found -}}
{{- $kinds = append $kinds (printf "%s on %s" $name (first $nodes)) -}}
{{- end -}}
{{- fail (printf "runtime: auto finds several (%s): install a release for each, with runtime and nodeSelector" (join ", " $kinds)) -}}
{{- end -}}
{{- keys $found | first | default "containerd" -}}
{{- end -}}
{{- end -}}

{{/*
Everything about the runtime, as JSON: socket and folder as the pods have them, the node's folder, root. A socket that
lies in /run itself has all of /run mounted, elsewhere in the pod, since there is more in its own /run.
*/}}
{{- define "stowage.runtime" -}}
{{- $name := include "stowage.runtimeName" . -}}
{{- $known := get (include "stowage.runtimes" . | fromYaml) $name -}}
{{- $socket := .Values.runtimePaths.socket | default $known.socket -}}
{{- $nodeDir := dir $socket -}}
{{- $dir := ternary "/host/run" $nodeDir (has $nodeDir (list "/run" "/var/run")) -}}
{{- dict
  "name" $name
  "nodeDir" $nodeDir
  "dir" $dir
  "socket" (printf "%s/%s" $dir (base $socket))
  "root" (.Values.runtimePaths.root | default $known.root)
  "containerd" $known.containerd
  | toJson -}}
{{- end -}}
