{{/*
The DaemonSet of one service. Its pod has what the service needs and no more: no capability, a read-only root file
system, the folder of the runtime's socket, and a folder each for its state and for the sockets of the suite.
*/}}
{{- define "stowage.daemonSet" -}}
{{- $root := .root -}}
{{- $app := .component.app -}}
{{- $values := get $root.Values .component.key -}}
{{- $facts := get ($root.Files.Get "files/apps.json" | fromJson).apps $app -}}
{{- $runtime := include "stowage.runtime" $root | fromJson -}}
{{- $propagation := $root.Values.hostPaths.mountPropagation -}}
{{- $name := printf "%s-%s" (include "stowage.fullname" $root) $app -}}
{{- $nats := $root.Values.nats -}}
{{- $providers := $root.Values.imageService.credentialProviders -}}
{{- $seesRoot := or (eq $app "gc-worker") (and (eq $app "image-service") $runtime.containerd) -}}
{{- $hasRuntimeDir := ne $runtime.dir $facts.socketDir -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "stowage.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $app }}
spec:
  selector:
    matchLabels:
      {{- include "stowage.selectorLabels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $app }}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: {{ regexMatch "^[0-9]+$" (toString $root.Values.maxUnavailable) | ternary (int $root.Values.maxUnavailable) $root.Values.maxUnavailable }}
  minReadySeconds: 10
  template:
    metadata:
      labels:
        {{- include "stowage.selectorLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $app }}
        app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/configuration: {{ include "stowage.configuration" $root | sha256sum }}
        {{- with $root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "stowage.serviceAccountName" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: {{ $facts.terminationGracePeriodSeconds }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        # The socket of the runtime belongs to root.
        runAsUser: 0
        runAsGroup: 0
        {{- with $root.Values.supplementalGroups }}
        supplementalGroups:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ $app }}
          image: {{ printf "%s/%s" $root.Values.image.registry $app }}{{ if $values.imageDigest }}@{{ $values.imageDigest }}{{ else }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          env:
            - name: {{ $facts.env.nodeName }}
              valueFrom:
                fieldRef:
                  fieldPath: spec.nodeName
            - name: {{ $facts.env.runtimeEndpoint }}
              value: unix://{{ $runtime.socket }}
            - name: {{ $facts.env.httpAddr }}
              value: {{ printf "%s:%v" $root.Values.http.host $facts.httpPort | quote }}
            {{- if $nats.serversSecret }}
            - name: {{ $facts.env.natsServers }}
              valueFrom:
                secretKeyRef:
                  name: {{ $nats.serversSecret }}
                  key: servers
            {{- end }}
            {{- if $nats.nkeySecret }}
            - name: {{ $facts.env.natsNkeySeed }}
              value: /run/secrets/stowage/nats/$({{ $facts.env.nodeName }}).nk
            {{- end }}
            {{- with $root.Values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: http
              containerPort: {{ $facts.httpPort }}
          startupProbe:
            httpGet:
              path: /healthz
              port: http
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /healthz
              port: http
            periodSeconds: 30
            timeoutSeconds: 10
            failureThreshold: 4
          readinessProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop:
                - ALL
            privileged: false
            readOnlyRootFilesystem: true
            {{- if $root.Values.selinux.enabled }}
            seLinuxOptions:
              type: {{ $root.Values.selinux.type }}
            {{- end }}
          # The one line about a wrong configuration is then in the status of the pod.
          terminationMessagePolicy: FallbackToLogsOnError
          volumeMounts:
            - name: configuration
              mountPath: {{ dir $facts.configFile }}
              readOnly: true
            - name: sockets
              mountPath: {{ $facts.socketDir }}
            - name: state
              mountPath: {{ $facts.stateDir }}
            {{- if $hasRuntimeDir }}
            - name: runtime
              mountPath: {{ $runtime.dir }}
              mountPropagation: {{ $propagation }}
              {{- if ne $app "gc-worker" }}
              readOnly: true
              {{- end }}
            {{- end }}
            {{- if $seesRoot }}
            - name: images
              mountPath: {{ $runtime.root }}
              mountPropagation: {{ $propagation }}
              readOnly: true
            {{- end }}
            {{- if $nats.nkeySecret }}
            - name: nats-login
              mountPath: /run/secrets/stowage/nats
              readOnly: true
            {{- end }}
            {{- if $nats.tls.secret }}
            - name: nats-tls
              mountPath: /run/secrets/stowage/nats-tls
              readOnly: true
            {{- end }}
            {{- if eq $app "image-service" }}
            {{- if $values.pullSecrets }}
            - name: pull-secrets
              mountPath: /run/secrets/stowage/pull
              readOnly: true
            {{- end }}
            {{- if $providers.config }}
            - name: credential-provider-config
              mountPath: {{ $providers.config }}
              readOnly: true
            - name: credential-providers
              mountPath: {{ $providers.binDir }}
              readOnly: true
            {{- end }}
            {{- end }}
      volumes:
        - name: configuration
          configMap:
            name: {{ include "stowage.fullname" $root }}
        - name: sockets
          hostPath:
            path: {{ $root.Values.hostPaths.sockets }}
            type: DirectoryOrCreate
        - name: state
          hostPath:
            path: {{ $root.Values.hostPaths.state }}/{{ $app }}
            type: DirectoryOrCreate
        {{- if $hasRuntimeDir }}
        - name: runtime
          hostPath:
            path: {{ $runtime.nodeDir }}
            type: Directory
        {{- end }}
        {{- if $seesRoot }}
        - name: images
          hostPath:
            path: {{ $runtime.root }}
            type: Directory
        {{- end }}
        {{- if $nats.nkeySecret }}
        - name: nats-login
          secret:
            secretName: {{ $nats.nkeySecret }}
            defaultMode: 256 # 0400
        {{- end }}
        {{- if $nats.tls.secret }}
        - name: nats-tls
          secret:
            secretName: {{ $nats.tls.secret }}
            defaultMode: 256 # 0400
        {{- end }}
        {{- if eq $app "image-service" }}
        {{- with $values.pullSecrets }}
        - name: pull-secrets
          projected:
            defaultMode: 256 # 0400
            sources:
              {{- range . }}
              - secret:
                  name: {{ . }}
                  items:
                    - key: .dockerconfigjson
                      path: {{ . }}/.dockerconfigjson
              {{- end }}
        {{- end }}
        {{- if $providers.config }}
        - name: credential-provider-config
          hostPath:
            path: {{ $providers.config }}
        - name: credential-providers
          hostPath:
            path: {{ $providers.binDir }}
            type: Directory
        {{- end }}
        {{- end }}
{{- end -}}
