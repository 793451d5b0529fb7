{{- define "ecoserve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Labels that pick the pods of one component; call with (list $ "operator"). */}}
{{- define "ecoserve.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of an object; call with (list $ "operator"). */}}
{{- define "ecoserve.labels" -}}
{{- $root := index . 0 -}}
{{ include "ecoserve.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image reference; call with (list .Values.image "default tag"). */}}
{{- define "ecoserve.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end -}}

{{- define "ecoserve.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "ecoserve.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What both pods say about where they run; call with (list $ "operator" .Values.operator). */}}
{{- define "ecoserve.podPlacement" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "ecoserve.selector" (list $root (index . 1)) | nindent 8 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The scheduler's configuration: the one of the code, and what the values put over it. */}}
{{- define "ecoserve.schedulerConfiguration" -}}
{{- $configuration := .Files.Get "files/scheduler-configuration.yaml" | fromYaml -}}
{{- $_ := set $configuration.leaderElection "resourceNamespace" .Release.Namespace -}}
{{- $_ := set $configuration.leaderElection "resourceName" (printf "%s-scheduler" (include "ecoserve.fullname" .)) -}}
{{- range $entry := $configuration.extenders -}}
{{- $_ := set $entry "urlPrefix" (printf "http://127.0.0.1:%d" (int $.Values.extender.port)) -}}
{{- end -}}
{{- if not .Values.admissionPolicy.create -}}
{{- $general := last $configuration.extenders -}}
{{- $_ := set $general "ignorable" false -}}
{{- $_ := set $general "filterVerb" "filter" -}}
{{- $_ := set $configuration "extenders" (list $general) -}}
{{- end -}}
{{- mergeOverwrite $configuration (deepCopy .Values.scheduler.configuration) | toYaml -}}
{{- end -}}
