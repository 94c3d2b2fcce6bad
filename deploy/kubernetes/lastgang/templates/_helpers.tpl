{{- define "lastgang.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "lastgang.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lastgang.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "lastgang.selector" . }}
{{- end }}

{{- define "lastgang.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Whether there may be two pods at a time. */}}
{{- define "lastgang.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}yes{{ end }}
{{- end }}

{{/* The addresses at which clouds tell a machine its secrets, for `except` of an IPv4 and an IPv6 block. */}}
{{- define "lastgang.everywhereElse" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except:
      - 169.254.0.0/16
      - 168.63.129.16/32
- ipBlock:
    cidr: ::/0
    except:
      - fd00:ec2::254/128
      - fd20:ce::254/128
      - fe80::/10
{{- end }}

{{/* What the schema cannot say, in words. */}}
{{- define "lastgang.check" -}}
{{- range $setting, $_ := .Values.settings }}
{{- if regexMatch "(KEY|KEYS|PASSWORD|DATABASE_URL|OTLP_HEADERS|_FILE)$" $setting }}
{{- fail (printf "\nsettings.%s would show a secret, or where one is: put it into the Secret secrets.existingSecret and name it under secrets.more." $setting) }}
{{- else if regexMatch "^LASTGANG_(ENV|HOST|PORT|HOME|FIRST_USER|DRAIN_SECONDS|REQUEST_SECONDS)$" $setting }}
{{- fail (printf "\nsettings.%s is set by the chart: see firstUser, drainSeconds and requestSeconds, the others stay." $setting) }}
{{- end }}
{{- end }}
{{- if eq .Values.image.tag "latest" }}
{{- fail "\nimage.tag=latest is another image tomorrow: set a version, or image.digest." }}
{{- end }}
{{- if and (include "lastgang.several" .) (not .Values.database.existingSecret) }}
{{- fail "\nMore than one pod needs one database for all: set database.existingSecret to a Secret with the URL of a PostgreSQL database, or replicaCount to 1 and autoscaling.enabled to false." }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "\nautoscaling.minReplicas is greater than autoscaling.maxReplicas." }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) }}
{{- fail "\ntls.certManager.enabled needs the name of an issuer: set tls.certManager.issuerRef.name." }}
{{- end }}
{{- if .Values.ingress.enabled }}
{{- if not .Values.ingress.host }}
{{- fail "\ningress.enabled needs a name: set ingress.host, such as forecasts.example.com." }}
{{- end }}
{{- if and (eq .Values.ingress.tls "reencrypt") (not .Values.ingress.secretName) }}
{{- fail "\ningress.tls=reencrypt needs the controller's certificate: set ingress.secretName to a Secret of the type kubernetes.io/tls." }}
{{- end }}
{{- if and (eq .Values.ingress.preset "traefik") (eq .Values.ingress.tls "passthrough") }}
{{- fail "\nAn Ingress cannot tell Traefik to pass TLS through: set ingress.tls=reencrypt, or make an IngressRouteTCP of your own and set ingress.enabled=false." }}
{{- end }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.serviceMonitor.tokenSecret.name) }}
{{- fail "\nmetrics.serviceMonitor.enabled needs a token with the scope `metrics`: set metrics.serviceMonitor.tokenSecret.name." }}
{{- end }}
{{- end }}
