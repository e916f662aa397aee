{{/* The services that this release has, as JSON: name of the app, its key in the values. */}}
{{- define "stowage.components" -}}
{{- $all := list
  (dict "app" "runtime-gateway" "key" "runtimeGateway" "modes" (list "observe" "shadow" "beside"))
  (dict "app" "image-service" "key" "imageService" "modes" (list "beside"))
  (dict "app" "gc-worker" "key" "gcWorker" "modes" (list "observe" "shadow" "beside")) -}}
{{- $chosen := list -}}
{{- range $all -}}
{{- if and (has $.Values.mode .modes) (get $.Values .key).enabled -}}
{{- $chosen = append $chosen . -}}
{{- end -}}
{{- end -}}
{{- if not $chosen -}}
{{- fail (printf "no service is enabled that mode %s has" .Values.mode) -}}
{{- end -}}
{{- $chosen | toJson -}}
{{- end -}}

{{/* Rules across keys, which a schema of values cannot explain. */}}
{{- define "stowage.checkValues" -}}
{{- with .Values.nats -}}
{{- if and .servers .serversSecret -}}
{{- fail "nats.servers and nats.serversSecret exclude each other" -}}
{{- end -}}
{{- if and (or .nkeySecret .tls.secret) (not .servers) (not .serversSecret) -}}
{{- fail "nats.nkeySecret and nats.tls.secret need nats.servers or nats.serversSecret" -}}
{{- end -}}
{{- if and .tls.clientCertificate (not .tls.secret) -}}
{{- fail "nats.tls.clientCertificate needs nats.tls.secret" -}}
{{- end -}}
{{- end -}}
{{- with .Values.imageService.credentialProviders -}}
{{- if ne (empty .config) (empty .binDir) -}}
{{- fail "imageService.credentialProviders needs both config and binDir" -}}
{{- end -}}
{{- end -}}
{{- $own := (.Files.Get "files/apps.json" | fromJson).variables -}}
{{- range .Values.extraEnv -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv: %s is a key of the services; set it in config" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
