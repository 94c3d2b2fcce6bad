"""What is in deploy/: every offline check that there is, and what a manifest must say beyond being well-formed."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from conftest import PROJECT

from config import PREFIX, SECRETS, Settings, load_settings
from first_start import prepare

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = PROJECT / "deploy"
CHART = DEPLOY / "kubernetes" / "lastgang"
TOOLS = PROJECT / ".deploy-tools"
METADATA = ("169.254.169.254", "168.63.129.16")


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the folder of the tools, fetched if they are not there."""
    done = subprocess.run(["scripts/deploy-tools"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the tools that check deploy/ cannot be had: {(done.stderr.splitlines() or ['no reason'])[-1]}")
    return TOOLS


def rendered(tools: Path, *arguments: str) -> dict[str, Any]:
    """Render the chart; give its resources by kind."""
    command = [str(tools / "helm"), "template", "lastgang", str(CHART), "--namespace", "forecasts", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return {resource["kind"]: resource for resource in yaml.safe_load_all(done.stdout) if resource}


def of_case(tools: Path, case: str) -> dict[str, Any]:
    return rendered(tools, "--values", str(CHART / "ci" / f"{case}.yaml"))


def test_every_offline_check_passes(tools: Path) -> None:
    """Lint, schemas, policies and Azure's own models: none finds anything, and each looked at something."""
    done = subprocess.run(["scripts/check-deploy"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Failed checks: 0, Skipped checks: 0") == 6
    assert done.stdout.count("resources have a schema and keep to it") == 4
    assert done.stdout.count("ok -- validation done") == 3
    assert done.stdout.count("properties of a container group, 0 wrong") == 2
    assert done.stdout.count("No findings to report") == 1


@pytest.mark.parametrize("case", ["one", "several", "cert-manager"])
def test_pods_are_restricted(case: str, tools: Path) -> None:
    """The restricted pod security standard, and nothing of the cluster's inside."""
    pod = of_case(tools, case)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(container[probe]["httpGet"]["scheme"] == "HTTPS" for probe in container if probe.endswith("Probe"))
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert not [one for one in container["env"] if "valueFrom" in one]


def test_one_pod_keeps_its_users_on_a_volume(tools: Path) -> None:
    """Without PostgreSQL there are never two pods at the same file."""
    kinds = of_case(tools, "one")
    assert kinds["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert kinds["Deployment"]["spec"]["replicas"] == 1
    assert "PersistentVolumeClaim" in kinds
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress"} & kinds.keys()


def test_several_pods_share_a_database(tools: Path) -> None:
    """With PostgreSQL pods come and go one at a time, by load, and the URL is a file."""
    kinds = of_case(tools, "several")
    spec = kinds["Deployment"]["spec"]
    assert "replicas" not in spec  # the autoscaler's to say
    assert kinds["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 2
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (container,) = spec["template"]["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["LASTGANG_DATABASE_URL_FILE"] == "/run/database/url"
    assert environment["LASTGANG_AUDIT_KEY_FILE"] == "/run/lastgang/audit.key"
    assert container["image"].startswith("registry.example.com/lastgang:0.1.0@sha256:")
    drain, request = int(environment["LASTGANG_DRAIN_SECONDS"]), int(environment["LASTGANG_REQUEST_SECONDS"])
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == drain + request + 10
    assert not any("PersistentVolumeClaim" in kind for kind in kinds)


def test_certificate_comes_from_cert_manager(tools: Path) -> None:
    """The names of the Service and those asked for; the ingress speaks TLS to the pod and checks it."""
    kinds = of_case(tools, "cert-manager")
    certificate = kinds["Certificate"]["spec"]
    assert certificate["secretName"] == "lastgang-tls"
    assert certificate["dnsNames"][0] == "lastgang.forecasts.svc"
    assert certificate["dnsNames"][-1] == "forecasts.example.com"
    annotations = kinds["Ingress"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "HTTPS"
    assert annotations["nginx.ingress.kubernetes.io/proxy-ssl-verify"] == "on"
    assert kinds["Ingress"]["spec"]["tls"] == [{"hosts": ["forecasts.example.com"], "secretName": "forecasts-tls"}]


@pytest.mark.parametrize("case", ["one", "several", "cert-manager"])
def test_no_rule_leads_to_metadata(case: str, tools: Path) -> None:
    """Every way out is to a named place and port; what is open to the world leaves the metadata addresses out."""
    from ipaddress import ip_address, ip_network  # noqa: PLC0415

    for rule in of_case(tools, case)["NetworkPolicy"]["spec"]["egress"]:
        assert rule["ports"]
        assert rule["to"]
        for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
            for address in map(ip_address, (*METADATA, "fd00:ec2::254")):
                networks = map(ip_network, block.get("except", ()))
                denied = any(address.version == one.version and address in one for one in networks)
                place = ip_network(block["cidr"])
                assert denied or address.version != place.version or address not in place


REFUSED = [
    ("replicaCount=0", "at '/replicaCount': minimum: got 0, want 1"),
    ("replicaCount=2", "set database.existingSecret"),
    ("autoscaling.enabled=true", "set database.existingSecret"),
    ("replicas=2", "additional properties 'replicas' not allowed"),
    ("image.tag=latest", "image.tag=latest is another image tomorrow"),
    ("image.digest=abc", "at '/image/digest'"),
    ("service.type=External", "one of 'ClusterIP', 'NodePort', 'LoadBalancer'"),
    ("drainSeconds=soon", "at '/drainSeconds': got string, want integer"),
    ("settings.LASTGANG_SIGNING_KEY=x", "would show a secret"),
    ("settings.LASTGANG_DATABASE_URL_FILE=x", "would show a secret"),
    ("settings.LASTGANG_PORT=x", "is set by the chart"),
    ("settings.PATH=x", "'PATH'"),
    ("settings.LASTGANG_WORKERS=2", "at '/settings/LASTGANG_WORKERS': got number, want string"),
    ("tls.certManager.enabled=true", "set tls.certManager.issuerRef.name"),
    ("ingress.enabled=true", "set ingress.host"),
    ("ingress.enabled=true,ingress.host=a.example.com,ingress.tls=reencrypt", "set ingress.secretName"),
    ("ingress.enabled=true,ingress.host=a.example.com,ingress.preset=traefik", "set ingress.tls=reencrypt"),
    ("metrics.serviceMonitor.enabled=true", "set metrics.serviceMonitor.tokenSecret.name"),
    ("secrets.existingSecret=", "at '/secrets/existingSecret'"),
]


@pytest.mark.parametrize("given, told", REFUSED)
def test_bad_values_are_refused_in_words(given: str, told: str, tools: Path) -> None:
    """A value that would not work is told before anything is installed, with the name of what to change."""
    with pytest.raises(ValueError, match=re.escape(told)):
        rendered(tools, "--set", given)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_a_value(name: str, tools: Path) -> None:
    """Whatever is a secret in config.py comes from a Secret, not from values that Helm keeps."""
    with pytest.raises(ValueError, match="would show a secret"):
        rendered(tools, "--set-string", f"settings.{PREFIX}{name.upper()}=x")


CHANGED = [
    ("container-group.yaml", "readOnly: true", "readonly: true", "volumeMounts[0].readonly: there is no such property"),
    ("container-group.yaml", "memoryInGB: 2", "memoryInGB: two", "memoryInGB: 'two' is of another type"),
    ("container-group.yaml", "  osType: Linux\n", "", "group.properties.osType: is missing"),
    ("main.bicep", "memoryInGB: 2", "memory: 2", "requests.memoryInGB: is missing"),
    ("main.bicep", "dnsNameLabel: dnsLabel", "dnsLabel: dnsLabel", "ipAddress.dnsLabel: there is no such property"),
]


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: change[1].strip())
def test_check_of_container_groups_finds_faults(change: tuple[str, str, str, str], tools: Path, tmp_path: Path) -> None:
    """A wrong name, type or omission in either form does not pass."""
    file, before, after, told = change
    text = (DEPLOY / "azure" / file).read_text()
    assert before in text
    (tmp_path / file).write_text(text.replace(before, after))
    command = [
        str(tools / "azure" / "bin" / "python"),
        str(PROJECT / "scripts" / "container_group.py"),
        str(tmp_path / file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stderr


def test_container_group_mounts_what_the_image_reads() -> None:
    """Each file that the image or the group names is in the secret volume, and no other; its programs are there."""
    image = (PROJECT / "containers" / "Dockerfile.template").read_text()
    for name in ("container-group.yaml", "main.bicep"):
        group = (DEPLOY / "azure" / name).read_text()
        read = set(re.findall(r"/run/secrets/([a-z.]+)", image + group))
        mounted = set(re.findall(r"^ +'?([a-z]+\.[a-z]+)'?: (?:base64|\$\{)", group, re.MULTILINE))
        assert mounted == read
        assert f"WORKDIR {re.findall('(/opt/[a-z/]+)/probe.py', group)[0]}\n" in image
        assert all(f"{folder} " in image for folder in re.findall(r"(/opt/lastgang)/", group))


def test_deployments_name_settings_that_there_are() -> None:
    """Each variable in deploy/ is a setting, or the file of a secret one."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {
        f"{PREFIX}{name.upper()}_FILE" for name in SECRETS
    }
    named = {
        (str(file.relative_to(DEPLOY)), variable)
        for file in DEPLOY.rglob("*")
        if file.suffix in {".yaml", ".yml", ".bicep", ".md"}
        for variable in re.findall(r"\bLASTGANG_[A-Z_]*[A-Z]\b", file.read_text())
    }
    assert named
    assert not {(file, variable) for file, variable in named if variable not in known}


@pytest.mark.parametrize("guide", ["azure", "kubernetes"])
def test_secrets_of_the_guide_let_a_service_start(guide: str, tmp_path: Path) -> None:
    """What the guide's commands make is what a service in production asks for, and only its maker can read it."""
    (block,) = re.findall(r"```bash secrets\n(.*?)```", (DEPLOY / guide / "README.md").read_text(), re.DOTALL)
    (tmp_path / "deploy").symlink_to(DEPLOY)
    environment = os.environ | {"HOST": "lastgang.example.com"}
    subprocess.run(
        ["bash", "-eu"], input=block, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    made = tmp_path / "secrets"
    assert not [file for file in made.iterdir() if stat.S_IMODE(file.stat().st_mode) & 0o077]
    files = {
        "TLS_CERT": "tls.crt",
        "TLS_KEY": "tls.key",
        "SIGNING_KEY": "signing.key",
        "FIRST_PASSWORD": "first.password",
    }
    told = {f"LASTGANG_{name}_FILE": str(made / file) for name, file in files.items()}
    told |= {"LASTGANG_ENV": "production", "LASTGANG_FIRST_USER": "admin", "LASTGANG_HOME": str(tmp_path / "home")}
    first = prepare(load_settings(told))
    assert first is not None
    assert first.password is None


def test_links_of_the_guides_lead_somewhere() -> None:
    """Every link to a file of the repository names one that is there."""
    for guide in DEPLOY.rglob("README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", guide.read_text()):
            assert (guide.parent / target).exists(), f"{guide}: {target}"


def test_parameters_of_azure_are_for_ones_own_eyes(tmp_path: Path) -> None:
    """The file with the secrets is readable by its owner alone, complete, and never written over another."""
    program, target = DEPLOY / "azure" / "parameters.py", tmp_path / "parameters.json"
    names = ("tls.crt", "tls.key", "signing.key", "first.password", "database.password")
    for name in names[:-1]:
        (tmp_path / name).write_text(f"{name} öäü\n")
    command = [sys.executable, str(program), str(tmp_path), str(target)]
    lacking = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lacking.returncode == 1
    assert "database.password" in lacking.stderr
    assert not target.exists()
    (tmp_path / names[-1]).write_text(" \n")
    assert "is empty" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    (tmp_path / names[-1]).write_text("secret")
    subprocess.run(command, check=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    told = {name: one["value"] for name, one in json.loads(target.read_text())["parameters"].items()}
    assert told["tlsKey"] == "tls.key öäü"
    secure = re.findall(r"@secure\(\)\n(?:@.*\n)*param (\w+)", (DEPLOY / "azure" / "main.bicep").read_text())
    assert told.keys() == set(secure)
    assert "File exists" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
