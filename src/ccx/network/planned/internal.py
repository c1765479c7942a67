"""Section 8: services among themselves. REST, NATS and PostgreSQL are built and stand in their packages."""

from ccx.network import Direction, Plane, Protocol, Status, declare

# What a Service's port is on the pod, where it differs: network policies see the pod's.
_ON_POD = {"metrics": 8428, "keycloak": 8080}

for _id, _host, _ports, _protocol, _service, _purpose in (
    ("cmon-rpc", "cmon", 9501, Protocol.HTTPS, "cmon RPC API", "cluster operations"),
    ("cmon-legacy", "cmon", 9500, Protocol.HTTPS, "cmon legacy API", "cluster operations of older clients"),
    ("cmon-ssh", "cmon", 9511, Protocol.TCP, "cmon SSH proxy", "terminals on nodes"),
    ("cmon-cloud", "cmon", 9518, Protocol.TCP, "cmon cloud", "cloud storage for backups"),
    ("cmon-exporter", "cmon", 9954, Protocol.HTTP, "cmon exporter", "cmon's own metrics"),
    ("cmon-sd", "cmon-sd", 8080, Protocol.HTTP, "cmon-sd (service discovery)", "tells what is to be scraped"),
    ("ccmgr", "ccmgr", 19051, Protocol.HTTP, "ccmgr", "the ClusterControl console"),
    ("kuber-proxy-http", "kuber-proxy", 8081, Protocol.HTTP, "kuber-proxy HTTP", "reaches customers' clusters"),
    ("kuber-proxy-grpc", "kuber-proxy", 50051, Protocol.GRPC, "kuber-proxy gRPC", "customers' clusters attach"),
    ("stores", "ccx-stores", (20001, 20002, 20003), Protocol.GRPC, "ccx-stores gRPC", "the stores"),
    ("stores-listener", "ccx-stores", 18097, Protocol.HTTP, "ccx-stores listener", "alerts come in"),
    ("metrics", "victoria-metrics", 9090, Protocol.HTTP, "Victoria Metrics / Prometheus", "metrics"),
    ("keycloak", "keycloak", 80, Protocol.HTTP, "Keycloak", "identities of operators"),
):
    declare(
        id=f"internal.{_id}", section=8, host=_host, ports=_ports, protocol=_protocol, direction=Direction.INTERNAL,
        plane=Plane.INTERNAL, service=_service, purpose=_purpose, status=Status.PLANNED,
        pod_port=_ON_POD.get(_id),
        when_blocked="what needs this service fails and is retried; datastores go on",
    )  # fmt: skip
