//! The images that a node's Pods run.

use crate::{Binaries, Image, ImageError, NodePrograms, Programs};

/// The image of what keeps a Pod's namespaces.
pub(super) const PAUSE: &str = "sinfonia.test/pause:1";
/// Images of the cluster's own Pods.
pub(super) const COREDNS: &str = "sinfonia.test/coredns:1";
pub(super) const PROMETHEUS: &str = "sinfonia.test/prometheus:1";
/// The web server of the chart of helloworld.
const NGINX: &str = "docker.io/nginxinc/nginx-unprivileged";

const SINFONIA_CHART: &str = include_str!("../../../../charts/sinfonia/Chart.yaml");
const HELLOWORLD_CHART: &str = include_str!("../../../../charts/helloworld/Chart.yaml");
const NGINX_CONFIGURATION: &str = include_str!("nginx.conf");

/// The name of the image that the chart of helloworld runs.
pub(super) fn helloworld() -> String {
    format!("{NGINX}:{}-alpine", application_version(HELLOWORLD_CHART))
}

/// A web server that shows its folder `/usr/share/nginx/html` on port 8080.
pub(super) fn web_server(name: &str, node: &NodePrograms) -> Image {
    Image::new(name)
        .program(&node.nginx, "/usr/sbin/nginx")
        .file("/etc/nginx/nginx.conf", NGINX_CONFIGURATION)
        .file("/etc/passwd", "nginx:x:101:101:nginx:/:/sbin/nologin\n")
        .file("/etc/group", "nginx:x:101:\n")
        .folder("/tmp")
        .user("101")
        .entrypoint(&["/usr/sbin/nginx", "-e", "/dev/stderr", "-g", "daemon off;"])
}

/// The images that the cluster itself needs, and the backend of helloworld.
pub(super) fn of_the_cluster(programs: &Programs, node: &NodePrograms) -> Vec<Image> {
    vec![
        Image::new(PAUSE)
            .program(&node.busybox, "/bin/busybox")
            .entrypoint(&["/bin/busybox", "sleep", "2147483647"]),
        Image::new(COREDNS)
            .program(&node.coredns, "/bin/coredns")
            .entrypoint(&["/bin/coredns"]),
        Image::new(PROMETHEUS)
            .program(&programs.prometheus, "/bin/prometheus")
            .entrypoint(&["/bin/prometheus"]),
        web_server(&helloworld(), node),
    ]
}

/// Sinfonia's own image, of the tag that its chart asks for.
pub(super) fn of_sinfonia(
    binaries: &Binaries,
    programs: &Programs,
    node: &NodePrograms,
) -> Result<Image, ImageError> {
    let tag = application_version(SINFONIA_CHART);
    Image::of_sinfonia(tag, binaries, &programs.helm4, &node.nft)
}

/// The `appVersion` of a chart, which is the default tag of its image.
fn application_version(chart: &str) -> &str {
    chart
        .lines()
        .find_map(|line| line.strip_prefix("appVersion:"))
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
}
