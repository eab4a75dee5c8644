{{- /* Values that are well-formed but cannot work together: rendering fails and says why. */}}
{{- define "rollcall.checks" -}}
{{- include "rollcall.checkNamespaces" . }}
{{- include "rollcall.checkNames" . }}
{{- include "rollcall.checkArguments" . }}
{{- end }}

{{- define "rollcall.checkNamespaces" -}}
{{- $watched := .Values.watchNamespaces }}
{{- if $watched }}
{{- range .Values.secrets }}
{{- if not (has .namespace $watched) }}
{{- fail (printf "secrets: the controller does not manage namespace %q, so it has no use for the Secret %q there: add the namespace to watchNamespaces, or remove the Secret" .namespace .name) }}
{{- end }}
{{- end }}
{{- range .Values.ambientCredentials }}
{{- range .namespaces }}
{{- if not (has . $watched) }}
{{- fail (printf "ambientCredentials: the controller does not manage namespace %q: add it to watchNamespaces, or remove it from the grant" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rollcall.checkNames" -}}
{{- $name := include "rollcall.name" . }}
{{- if eq (include "rollcall.account" .) "default" }}
{{- fail "serviceAccount.name: every namespace has a ServiceAccount \"default\" already, and its rights are those of every pod without one: choose another name" }}
{{- end }}
{{- if and .Values.devStore.enabled (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) }}
{{- fail (printf "devStore.enabled: a Service cannot be named %s-dev-store: set fullnameOverride to a name that begins with a letter and has no dots" $name) }}
{{- end }}
{{- range $label, $value := .Values.podLabels }}
{{- if or (hasPrefix "app.kubernetes.io/" $label) (hasPrefix "rollcall.dev/" $label) }}
{{- fail (printf "podLabels: the chart itself sets the labels app.kubernetes.io/* and rollcall.dev/*, by which Deployment and NetworkPolicies find the pods: remove %s" $label) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rollcall.checkArguments" -}}
{{- $values := dict "--watch-namespace" "watchNamespaces" "--workspace" "workspace" "--workspace-size" "workspace.sizeLimit" "--log-format" "logFormat" "--admin-listen" "" "--kubeconfig" "" }}
{{- range .Values.extraArgs }}
{{- $option := index (splitList "=" .) 0 }}
{{- if hasKey $values $option }}
{{- $value := get $values $option }}
{{- fail (printf "extraArgs: %s is not to be given here: %s" $option (empty $value | ternary "the chart depends on it" (printf "use the value %s, from which rights and volumes follow, too" $value))) }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if has .name (list "ROLLCALL_WATCH_NAMESPACES" "ROLLCALL_KUBECONFIG") }}
{{- fail (printf "extraEnv: %s is not to be given here: use the value watchNamespaces, from which the rights follow, too" .name) }}
{{- end }}
{{- end }}
{{- end }}
