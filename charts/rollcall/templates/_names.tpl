{{- define "rollcall.chart" -}}
{{ .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{- define "rollcall.name" -}}
{{- $chart := include "rollcall.chart" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains $chart .Release.Name }}{{ .Release.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name $chart | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* For what lies in the cluster or in other namespaces, where installations of the same name in two namespaces would meet. A namespace
has no dot, so no two installations have the same. */}}
{{- define "rollcall.clusterName" -}}
{{- $name := include "rollcall.name" . }}
{{- if eq .Release.Namespace (printf "%s-system" $name) }}{{ $name }}{{ else }}{{ printf "%s.%s" .Release.Namespace $name }}{{ end }}
{{- end }}

{{- define "rollcall.account" -}}
{{ .Values.serviceAccount.name | default (include "rollcall.name" .) }}
{{- end }}

{{- define "rollcall.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "rollcall.selector" -}}
app.kubernetes.io/name: {{ include "rollcall.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rollcall.labels" -}}
{{ include "rollcall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* What Pod Security "restricted" asks of a pod and of each container. */}}
{{- define "rollcall.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "rollcall.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
