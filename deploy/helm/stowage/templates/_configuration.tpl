{{/*
The configuration file of all services of a node (docs/reference/configuration.md): what the values say, and what follows
from mode, runtime and mounts. What differs between nodes and pods is in the environment.
*/}}
{{- define "stowage.configuration" -}}
{{- $runtime := include "stowage.runtime" . | fromJson -}}
{{- $file := deepCopy .Values.config -}}
{{- if not .Values.nats.serversSecret -}}
{{- $_ := set $file "natsServers" (.Values.nats.servers | default list) -}}
{{- end -}}
{{- if .Values.nats.tls.secret -}}
{{- $_ := set $file "natsTlsCa" "/run/secrets/stowage/nats-tls/ca.crt" -}}
{{- if .Values.nats.tls.clientCertificate -}}
{{- $_ := set $file "natsTlsCert" "/run/secrets/stowage/nats-tls/tls.crt" -}}
{{- $_ := set $file "natsTlsKey" "/run/secrets/stowage/nats-tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- range include "stowage.components" . | fromJsonArray -}}
{{- $section := deepCopy (get $.Values .key).config -}}
{{- if eq .app "gc-worker" -}}
{{- $_ := set $section "collect" (get (dict "observe" "off" "shadow" "shadow" "beside" "on") $.Values.mode) -}}
{{- end -}}
{{- if eq .app "image-service" -}}
{{- if $.Values.imageService.pullSecrets -}}
{{- $_ := set $section "pullSecretsDir" "/run/secrets/stowage/pull" -}}
{{- end -}}
{{- with $.Values.imageService.credentialProviders -}}
{{- if .config -}}
{{- $_ := set $section "imageCredentialProviderConfig" .config -}}
{{- $_ := set $section "imageCredentialProviderBinDir" .binDir -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $section -}}
{{- $_ := set $file .app $section -}}
{{- end -}}
{{- end -}}
{{- toYaml $file -}}
{{- end -}}
