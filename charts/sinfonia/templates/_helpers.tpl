{{- define "sinfonia.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sinfonia.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "sinfonia.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sinfonia.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* A name of something that is in no Namespace. */}}
{{- define "sinfonia.clusterName" -}}
{{- $name := printf "%s-%s" .Release.Namespace (include "sinfonia.fullname" .) }}
{{- printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (printf "%s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 8) }}
{{- end }}

{{- define "sinfonia.tier" -}}
{{- ternary "tier1" "tier2" .Values.sinfoniaTier1 }}
{{- end }}

{{- define "sinfonia.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sinfonia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ include "sinfonia.tier" . }}
{{- end }}

{{- define "sinfonia.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sinfonia.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sinfonia
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The guard's are others than Tier 2's, so that no Service leads to it. */}}
{{- define "sinfonia.guardSelectorLabels" -}}
{{- merge (dict "app.kubernetes.io/component" "client-guard") (include "sinfonia.selectorLabels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "sinfonia.guardLabels" -}}
{{- merge (dict "app.kubernetes.io/component" "client-guard") (include "sinfonia.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/* The options of the guard, as a list in YAML. */}}
{{- define "sinfonia.guardArgs" -}}
{{- $args := list "--log-format=json" (printf "--client-network=%s" .Values.tier2.clientNetwork) }}
{{- with .Values.clientGuard }}
{{- $args = append $args (printf "--client-egress=%s" .clientEgress) }}
{{- $args = append $args (printf "--tunnel-interface=%s" .tunnelInterface) }}
{{- with .clusterCIDRs }}{{ $args = append $args (printf "--cluster-cidrs=%s" (join "," .)) }}{{ end }}
{{- end }}
{{- toYaml $args }}
{{- end }}

{{- define "sinfonia.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sinfonia.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The Secret of the deploy tokens; empty, if anybody may deploy. */}}
{{- define "sinfonia.deployTokenSecret" -}}
{{- if and (not .Values.sinfoniaTier1) .Values.tier2.deployToken.enabled }}
{{- default (printf "%s-deploy-tokens" (include "sinfonia.fullname" .)) .Values.tier2.deployToken.existingSecret }}
{{- end }}
{{- end }}

{{/* A map of resources as an option takes it: by name, in its order. A large number must not be written with an exponent. */}}
{{- define "sinfonia.amounts" -}}
{{- $amounts := list }}
{{- range $name, $amount := . }}{{ $amounts = append $amounts (printf "%s=%s" $name (kindIs "string" $amount | ternary $amount (toJson $amount))) }}{{ end }}
{{- join "," $amounts }}
{{- end }}

{{/* The options of the program, as a list in YAML. */}}
{{- define "sinfonia.args" -}}
{{- $args := list "--log-format=json" "--admin-listen=[::]:5001" (printf "--recipes=%s" (required "sinfoniaRecipes is missing: name the http(s) URL of the recipes" .Values.sinfoniaRecipes)) }}
{{- if .Values.sinfoniaTier1 }}
{{- with .Values.tier1.cloudlets }}{{ $args = append $args "--cloudlets=/etc/sinfonia/cloudlets/cloudlets.yaml" }}{{ end }}
{{- with .Values.tier1 }}
{{- range .matchers }}{{ $args = append $args (printf "--match=%s" .) }}{{ end }}
{{- with .policy }}{{ $args = append $args "--policy=/etc/sinfonia/policy/policy.yaml" }}{{ end }}
{{- with .shortlist }}{{ $args = append $args (printf "--shortlist=%d" (int .)) }}{{ end }}
{{- if kindIs "map" .overload }}{{ $args = append $args (printf "--overload=%s" (include "sinfonia.amounts" .overload | default "[]")) }}{{ end }}
{{- with .maxInFlightPerCloudlet }}{{ $args = append $args (printf "--max-in-flight-per-cloudlet=%d" (int .)) }}{{ end }}
{{- with .maxReportedCloudlets }}{{ $args = append $args (printf "--max-reported-cloudlets=%d" (int .)) }}{{ end }}
{{- end }}
{{- with .Values.tier1.trustedProxies }}{{ $args = append $args (printf "--trusted-proxies=%s" (join "," (concat (list "127.0.0.0/8" "::1/128") .))) }}{{ end }}
{{- if .Values.tier1.reportTokens.existingSecret }}{{ $args = append $args "--report-tokens=/etc/sinfonia/report-tokens/report-tokens" }}{{ end }}
{{- if .Values.tier1.operatorTokens.existingSecret }}{{ $args = append $args "--operator-tokens=/etc/sinfonia/operator-tokens/operator-tokens" }}{{ end }}
{{- if not .Values.tier1.dashboard }}{{ $args = append $args "--no-dashboard" }}{{ end }}
{{- with .Values.tier1.allowAnonymousReports }}{{ $args = append $args (printf "--allow-anonymous-reports=%s" (join "," .)) }}{{ end }}
{{- else }}
{{- range (kindIs "slice" .Values.sinfoniaTier1Url | ternary .Values.sinfoniaTier1Url (list .Values.sinfoniaTier1Url)) }}
{{- with . }}{{ $args = append $args (printf "--tier1-url=%s" .) }}{{ end }}
{{- end }}
{{- with .Values.sinfoniaTier2Url }}{{ $args = append $args (printf "--tier2-url=%s" .) }}{{ end }}
{{- with .Values.tier2 }}
{{- $args = append $args (printf "--prometheus=%s" .prometheus) }}
{{- $args = append $args (printf "--client-network=%s" .clientNetwork) }}
{{- with .tunnelEndpoint }}{{ $args = append $args (printf "--tunnel-endpoint=%s" .) }}{{ end }}
{{- with .trustedProxies }}{{ $args = append $args (printf "--trusted-proxies=%s" (join "," .)) }}{{ end }}
{{- with .clusterCidrs }}{{ $args = append $args (printf "--cluster-cidrs=%s" (join "," .)) }}{{ end }}
{{- with .quota }}{{ $args = append $args (printf "--quota=%s" (include "sinfonia.amounts" .)) }}{{ end }}
{{- with .maxQuota }}{{ $args = append $args (printf "--max-quota=%s" (include "sinfonia.amounts" .)) }}{{ end }}
{{- with .privilegedRecipes }}{{ $args = append $args (printf "--privileged-recipes=%s" (join "," .)) }}{{ end }}
{{- with .name }}{{ $args = append $args (printf "--name=%s" .) }}{{ end }}
{{- with .locations }}{{ $args = append $args (printf "--location=%s" (toJson .)) }}{{ end }}
{{- with .localNetworks }}{{ $args = append $args (printf "--local-networks=%s" (join "," .)) }}{{ end }}
{{- range .imagePullSecrets }}{{ $args = append $args (printf "--image-pull-secret=%s" .) }}{{ end }}
{{- if .deployToken.enabled }}{{ $args = append $args "--deploy-tokens=/etc/sinfonia/deploy-tokens/deploy-tokens" }}{{ end }}
{{- if .reportToken.existingSecret }}{{ $args = append $args "--report-token=/etc/sinfonia/report-token/report-token" }}{{ end }}
{{- end }}
{{- $args = append $args "--cache=/var/cache/sinfonia" }}
{{- end }}
{{- with (.Values.telemetry).otlpEndpoint }}{{ $args = append $args (printf "--otlp-endpoint=%s" .) }}{{ end }}
{{- toYaml (concat $args .Values.extraArgs) }}
{{- end }}

{{- define "sinfonia.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.sinfoniaTier1 }}
{{- if .Values.tier1.cloudlets }}
- name: cloudlets
  mountPath: /etc/sinfonia/cloudlets
  readOnly: true
{{- end }}
{{- if .Values.tier1.policy }}
- name: policy
  mountPath: /etc/sinfonia/policy
  readOnly: true
{{- end }}
{{- if .Values.tier1.reportTokens.existingSecret }}
- name: report-tokens
  mountPath: /etc/sinfonia/report-tokens
  readOnly: true
{{- end }}
{{- if .Values.tier1.operatorTokens.existingSecret }}
- name: operator-tokens
  mountPath: /etc/sinfonia/operator-tokens
  readOnly: true
{{- end }}
{{- else }}
- name: cache
  mountPath: /var/cache/sinfonia
{{- if include "sinfonia.deployTokenSecret" . }}
- name: deploy-tokens
  mountPath: /etc/sinfonia/deploy-tokens
  readOnly: true
{{- end }}
{{- if .Values.tier2.reportToken.existingSecret }}
- name: report-token
  mountPath: /etc/sinfonia/report-token
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "sinfonia.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.sinfoniaTier1 }}
{{- if .Values.tier1.cloudlets }}
- name: cloudlets
  configMap:
    name: {{ include "sinfonia.fullname" . }}-cloudlets
{{- end }}
{{- if .Values.tier1.policy }}
- name: policy
  configMap:
    name: {{ include "sinfonia.fullname" . }}-policy
{{- end }}
{{- with .Values.tier1.reportTokens.existingSecret }}
- name: report-tokens
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.tier1.operatorTokens.existingSecret }}
- name: operator-tokens
  secret:
    secretName: {{ . }}
{{- end }}
{{- else }}
- name: cache
  emptyDir:
    sizeLimit: 1Gi
{{- with include "sinfonia.deployTokenSecret" . }}
- name: deploy-tokens
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.tier2.reportToken.existingSecret }}
- name: report-token
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether something in no Namespace is not there yet, or belongs to this release: a list of the root context and what was looked up. */}}
{{- define "sinfonia.isOurs" -}}
{{- $root := index . 0 }}
{{- $found := index . 1 | default dict }}
{{- $annotations := dig "metadata" "annotations" dict $found }}
{{- $namespace := dig "meta.helm.sh/release-namespace" "" $annotations }}
{{- $name := dig "meta.helm.sh/release-name" "" $annotations }}
{{- if or (not $found) (and (eq $namespace $root.Release.Namespace) (eq $name $root.Release.Name)) }}yes{{ end }}
{{- end }}
