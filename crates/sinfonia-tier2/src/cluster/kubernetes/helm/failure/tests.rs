//! What helm 3.22 and 4.3 say to a real API server, and what it means.

use rstest::rstest;

use super::*;

#[rstest]
#[case::fail(
    "Error: INSTALLATION FAILED: execution error at (fails/templates/cm.yaml:1:3): set a password\n",
    BadValues
)]
#[case::fail_with_words_of_others(
    "Error: INSTALLATION FAILED: execution error at (fails/templates/cm.yaml:1:3): connection refused\n",
    BadValues
)]
#[case::nil_3(
    "Error: INSTALLATION FAILED: template: nilptr/templates/cm.yaml:3:27: executing \"nilptr/templates/cm.yaml\" at <.Values.a.b.c>: nil pointer evaluating interface {}.b\n",
    BadValues
)]
#[case::nil_4(
    "Error: INSTALLATION FAILED: nilptr/templates/cm.yaml:3:27\n  executing \"nilptr/templates/cm.yaml\" at <.Values.a.b.c>:\n    nil pointer evaluating interface {}.b\n",
    BadValues
)]
#[case::syntax(
    "Error: INSTALLATION FAILED: parse error at (badtmpl/templates/cm.yaml:3): unclosed action started at badtmpl/templates/cm.yaml:2\n",
    BadValues
)]
#[case::yaml(
    "Error: INSTALLATION FAILED: YAML parse error on badyaml/templates/cm.yaml: error converting YAML to JSON: yaml: line 4: did not find expected key\n",
    BadValues
)]
#[case::no_kind(
    "Error: INSTALLATION FAILED: unable to build kubernetes objects from release manifest: error validating \"\": error validating data: kind not set\n",
    BadValues
)]
#[case::schema(
    "Error: INSTALLATION FAILED: values don't meet the specifications of the schema(s) in the following chart(s):\nschema:\n- at '/port': got string, want integer\n\n",
    BadValues
)]
#[case::field_3(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* Service \"a\" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive]\n\n\n",
    BadValues
)]
#[case::field_4(
    "Error: INSTALLATION FAILED: server-side apply failed for object m/a /v1, Kind=Service: Service \"a\" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive]\n",
    BadValues
)]
#[case::type_3(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal string into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort\n\n\n",
    BadValues
)]
#[case::type_4(
    "Error: INSTALLATION FAILED: server-side apply failed for object m/a /v1, Kind=Service: failed to create typed patch object (m/a; /v1, Kind=Service): .spec.ports: expected list, got &{x}\n",
    BadValues
)]
#[case::values_3(
    "Error: INSTALLATION FAILED: failed to parse -: error converting YAML to JSON: yaml: line 1: did not find expected node content\n",
    BadValues
)]
#[case::values_4(
    "Error: INSTALLATION FAILED: failed to parse -: cannot unmarshal yaml document: error converting YAML to JSON: yaml: line 1: did not find expected node content\n",
    BadValues
)]
#[case::cluster_role_3(
    "Error: INSTALLATION FAILED: Unable to continue with install: could not get information about the resource ClusterRole \"evil\" in namespace \"\": clusterroles.rbac.authorization.k8s.io \"evil\" is forbidden: User \"system:serviceaccount:m:dep\" cannot get resource \"clusterroles\" in API group \"rbac.authorization.k8s.io\" at the cluster scope\n",
    Refused
)]
#[case::cluster_role_4(
    "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource ClusterRole \"evil\" in namespace \"\": clusterroles.rbac.authorization.k8s.io \"evil\" is forbidden: User \"system:serviceaccount:m:dep\" cannot get resource \"clusterroles\" in API group \"rbac.authorization.k8s.io\" at the cluster scope\n",
    Refused
)]
#[case::foreign_hook(
    "Error: INSTALLATION FAILED: failed pre-install: configmaps \"a\" is forbidden: User \"system:serviceaccount:m:dep\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"kube-system\"\n",
    Refused
)]
#[case::pod_security(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)\n\n\n",
    Refused
)]
#[case::own_policy_3(
    "Error: INSTALLATION FAILED: Unable to continue with install: could not get information about the resource NetworkPolicy \"web\" in namespace \"m\": networkpolicies.networking.k8s.io \"web\" is forbidden: User \"system:serviceaccount:m:dep\" cannot get resource \"networkpolicies\" in API group \"networking.k8s.io\" in the namespace \"m\"\n",
    OwnIsolation
)]
#[case::own_policy_4(
    "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource NetworkPolicy \"web\" in namespace \"m\": networkpolicies.networking.k8s.io \"web\" is forbidden: User \"system:serviceaccount:m:dep\" cannot get resource \"networkpolicies\" in API group \"networking.k8s.io\" in the namespace \"m\"\n",
    OwnIsolation
)]
#[case::quota(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* persistentvolumeclaims \"data\" is forbidden: exceeded quota: storage, requested: requests.storage=5Gi, used: requests.storage=8Gi, limited: requests.storage=10Gi\n\n\n",
    OverQuota
)]
#[case::quota_of_its_own(
    "Error: INSTALLATION FAILED: services \"web\" is forbidden: exceeded quota: sinfonia-isolation, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0\n",
    Refused
)]
#[case::unknown_kind(
    "Error: INSTALLATION FAILED: unable to build kubernetes objects from release manifest: resource mapping not found for name: \"a\" namespace: \"\" from \"\": no matches for kind \"ServiceMonitor\" in version \"monitoring.coreos.com/v1\"\nensure CRDs are installed first\n",
    Refused
)]
#[case::kubernetes_version(
    "Error: INSTALLATION FAILED: chart requires kubeVersion: >=9.0.0 which is incompatible with Kubernetes v1.37.2\n",
    Refused
)]
#[case::of_somebody_else(
    "Error: INSTALLATION FAILED: Unable to continue with install: ConfigMap \"kube-root-ca.crt\" in namespace \"m\" exists and cannot be imported into the current release: invalid ownership metadata; label validation error: missing key \"app.kubernetes.io/managed-by\": must be set to \"Helm\"\n",
    Refused
)]
#[case::twice_3(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* configmaps \"a\" already exists\n\n\n",
    Refused
)]
#[case::too_large(
    "Error: INSTALLATION FAILED: create: failed to create: Secret \"sh.helm.release.v1.m.v1\" is invalid: data: Too long: may not be more than 1048576 bytes\n",
    Refused
)]
#[case::hook_failed_3(
    "Error: INSTALLATION FAILED: failed pre-install: 1 error occurred:\n\t* job h failed: BackoffLimitExceeded\n\n\n",
    NotReady
)]
#[case::hook_failed_4(
    "Error: INSTALLATION FAILED: failed post-install: resource Job/m/h not ready. status: Failed, message: Job Failed. failed: 1/1\n",
    NotReady
)]
#[case::hook_hangs_3(
    "Error: INSTALLATION FAILED: failed pre-install: 1 error occurred:\n\t* timed out waiting for the condition\n\n\n",
    TimedOut
)]
#[case::hook_hangs_4(
    "Error: INSTALLATION FAILED: failed pre-install: resource Job/m/h not ready. status: InProgress, message: Job in progress\ncontext deadline exceeded\n",
    TimedOut
)]
#[case::delete_hook_failed_3(
    "Error: 1 error occurred:\n\t* job h failed: BackoffLimitExceeded\n\n\n",
    NotReady
)]
#[case::delete_hook_hangs_4(
    "Error: uninstallation completed with 1 error(s): resource Job/m/h not ready. status: InProgress, message: Job in progress\ncontext deadline exceeded\n",
    TimedOut
)]
#[case::no_chart(
    "Error: INSTALLATION FAILED: path \"/cache/nonexistent-0.1.0.tgz\" not found\n",
    ChartNotFound
)]
#[case::no_dependency(
    "Error: INSTALLATION FAILED: An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: redis\n",
    ChartNotFound
)]
#[case::library(
    "Error: INSTALLATION FAILED: library charts are not installable\n",
    ChartNotFound
)]
#[case::in_use_3(
    "Error: INSTALLATION FAILED: cannot re-use a name that is still in use\n",
    NameInUse
)]
#[case::in_use_4(
    "level=ERROR msg=\"release name check failed\" error=\"cannot reuse a name that is still in use\"\nError: INSTALLATION FAILED: release name check failed: cannot reuse a name that is still in use\n",
    NameInUse
)]
#[case::terminating(
    "Error: INSTALLATION FAILED: create: failed to create: secrets \"sh.helm.release.v1.m.v1\" is forbidden: unable to create new content in namespace m because it is being terminated\n",
    NameInUse
)]
#[case::down_3(
    "Error: INSTALLATION FAILED: Kubernetes cluster unreachable: Get \"https://127.0.0.1:6443/version\": dial tcp 127.0.0.1:6443: connect: connection refused\n",
    Unreachable
)]
#[case::down_4(
    "level=ERROR msg=\"cluster reachability check failed: kubernetes cluster unreachable: Get \\\"https://127.0.0.1:6443/version\\\": dial tcp 127.0.0.1:6443: connect: connection refused\"\nError: INSTALLATION FAILED: cluster reachability check failed: kubernetes cluster unreachable: Get \"https://127.0.0.1:6443/version\": dial tcp 127.0.0.1:6443: connect: connection refused\n",
    Unreachable
)]
#[case::reset(
    "Error: INSTALLATION FAILED: Kubernetes cluster unreachable: Get \"http://127.0.0.1:6443/version\": read tcp 127.0.0.1:38676->127.0.0.1:6443: read: connection reset by peer\n",
    Unreachable
)]
#[case::credentials(
    "Error: INSTALLATION FAILED: Kubernetes cluster unreachable: the server has asked for the client to provide credentials\n",
    Unreachable
)]
#[case::busy(
    "Error: INSTALLATION FAILED: create: failed to create: the server has received too many requests and has asked us to try again later\n",
    Unreachable
)]
#[case::quota_written_by_others(
    "Error: INSTALLATION FAILED: create: failed to create: Operation cannot be fulfilled on resourcequotas \"all\": the object has been modified; please apply your changes to the latest version and try again\n",
    Unreachable
)]
#[case::etcd(
    "Error: INSTALLATION FAILED: create: failed to create: etcdserver: request timed out\n",
    Unreachable
)]
#[case::warned(
    "I1125 16:33:29.624193   15828 warnings.go:107] \"Warning: unknown field \\\"spec.prots\\\"\"\nError: INSTALLATION FAILED: failed pre-install: 1 error occurred:\n\t* timed out waiting for the condition\n\n\n",
    TimedOut
)]
#[case::killed("", Unreachable)]
#[case::unheard_of("Error: INSTALLATION FAILED: the moon is full\n", Refused)]
fn what_helm_says_has_a_meaning(#[case] stderr: &str, #[case] expected: HelmFailure) {
    assert_eq!(classify(stderr), expected);
}

#[rstest]
#[case::unknown(
    "Error: failed to perform \"FetchReference\" on source: registry.example/charts/good:0.1.0: not found\n",
    ChartNotFound
)]
#[case::private(
    "Error: failed to perform \"FetchReference\" on source: GET \"http://registry.example/v2/charts/good/manifests/0.1.0\": response status code 401: unauthorized: authentication required\n",
    ChartNotFound
)]
#[case::broken(
    "Error: failed to perform \"FetchReference\" on source: GET \"http://registry.example/v2/charts/good/manifests/0.1.0\": response status code 500: Internal Server Error\n",
    Unreachable
)]
#[case::down(
    "Error: failed to perform \"FetchReference\" on source: Get \"https://registry.example/v2/charts/good/manifests/0.1.0\": dial tcp 192.0.2.1:443: connect: connection refused\n",
    Unreachable
)]
#[case::no_host(
    "Error: failed to perform \"FetchReference\" on source: Get \"https://registry.example/v2/charts/good/manifests/0.1.0\": dial tcp: lookup registry.example on 192.0.2.53:53: no such host\n",
    Unreachable
)]
fn a_registry_without_the_chart_differs_from_one_that_fails(
    #[case] stderr: &str,
    #[case] expected: HelmFailure,
) {
    assert_eq!(classify_pull(stderr), expected);
}

#[rstest]
#[case::absent("Error: uninstall: Release not loaded: m: release: not found\n", true)]
#[case::not_allowed(
    "Error: uninstall: Release not loaded: m: query: failed to query with labels: secrets is forbidden: User \"system:serviceaccount:m:dep\" cannot list resource \"secrets\" in API group \"\" in the namespace \"m\"\n",
    false
)]
#[case::not_known(
    "Error: kubernetes cluster unreachable: Get \"https://127.0.0.1:6443/version\": dial tcp 127.0.0.1:6443: connect: connection refused\n",
    false
)]
fn a_release_is_gone_only_when_helm_has_looked(#[case] stderr: &str, #[case] expected: bool) {
    assert_eq!(is_absent(stderr), expected);
}

#[rstest]
#[case::own_3(
    "Error: INSTALLATION FAILED: Unable to continue with install: could not get information about the resource ConfigMap \"a\" in namespace \"brave-otter-x7k2p\": configmaps \"a\" is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"brave-otter-x7k2p\"\n",
    true
)]
#[case::own_4(
    "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource ConfigMap \"a\" in namespace \"brave-otter-x7k2p\": configmaps \"a\" is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"brave-otter-x7k2p\"\n",
    true
)]
#[case::foreign(
    "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource ConfigMap \"a\" in namespace \"kube-system\": configmaps \"a\" is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"kube-system\"\n",
    false
)]
#[case::later(
    "Error: INSTALLATION FAILED: failed pre-install: jobs.batch is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot watch resource \"jobs\" in API group \"batch\" in the namespace \"brave-otter-x7k2p\"\n",
    true
)]
#[case::role_not_known(
    "Error: INSTALLATION FAILED: failed pre-install: jobs.batch is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot watch resource \"jobs\" in API group \"batch\" in the namespace \"brave-otter-x7k2p\": RBAC: clusterrole.rbac.authorization.k8s.io \"dep\" not found\n",
    true
)]
#[case::whole_cluster(
    "Error: INSTALLATION FAILED: unable to continue with install: could not get information about the resource ClusterRole \"evil\" in namespace \"\": clusterroles.rbac.authorization.k8s.io \"evil\" is forbidden: User \"system:serviceaccount:brave-otter-x7k2p:dep\" cannot get resource \"clusterroles\" in API group \"rbac.authorization.k8s.io\" at the cluster scope\n",
    false
)]
#[case::security(
    "Error: INSTALLATION FAILED: 1 error occurred:\n\t* pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)\n\n\n",
    false
)]
fn rights_may_be_late_in_the_own_namespace_only(#[case] stderr: &str, #[case] expected: bool) {
    let release = "brave-otter-x7k2p".parse().unwrap();

    assert_eq!(is_denied_at_home(&release, stderr), expected);
}

#[test]
fn what_may_work_the_next_time_is_no_failure_of_the_deployment() {
    assert_eq!(Unreachable.failure(), None);
    assert_eq!(NameInUse.failure(), None);
    assert_eq!(
        BadValues.failure(),
        Some(Failure {
            class: FailureClass::BadValues,
            message: "the chart does not install with the values of the recipe".to_owned(),
            detail: None,
        })
    );
}
