//! What a request asks of the API server.

/// A request to the API server, in the API server's terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiCall {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without question mark; may be empty.
    pub query: String,
    /// The verb, as in RBAC rules: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// The resource, as in RBAC rules: `peers`, `cloudletdeployments/status`; empty for paths of no resource.
    pub resource: String,
    /// The Namespace; empty where there is none.
    pub namespace: String,
    /// The object's name; empty for collections.
    pub name: String,
    /// Who asks, as the header `User-Agent` says.
    pub user_agent: String,
}

impl ApiCall {
    /// Reads a request.
    pub fn new(method: &str, path: &str, query: &str, user_agent: &str) -> Self {
        let mut call = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            user_agent: user_agent.to_owned(),
            ..Self::default()
        };
        let segments: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        match segments.as_slice() {
            ["api", _version, rest @ ..] | ["apis", _, _version, rest @ ..] => call.read(rest),
            _ => {}
        }
        call.verb = verb(method, &call);
        call
    }

    /// Whether it does this to this resource. `*` stands for all.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        (verb == "*" || verb == self.verb) && (resource == "*" || resource == self.resource)
    }

    fn read(&mut self, segments: &[&str]) {
        let segments = match segments {
            // These belong to the Namespace itself.
            ["namespaces", _, "status" | "finalize"] => segments,
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                self.namespace = (*namespace).to_owned();
                rest
            }
            _ => segments,
        };
        if let [resource, rest @ ..] = segments {
            self.resource = (*resource).to_owned();
            if let [name, rest @ ..] = rest {
                self.name = (*name).to_owned();
                if let [subresource, ..] = rest {
                    self.resource = format!("{resource}/{subresource}");
                }
            }
        }
    }
}

fn verb(method: &str, call: &ApiCall) -> &'static str {
    let watches = || {
        call.query
            .split('&')
            .any(|part| matches!(part, "watch=true" | "watch=1" | "watch"))
    };
    match (method, call.name.is_empty() && !call.resource.is_empty()) {
        ("GET" | "HEAD", _) if watches() => "watch",
        ("GET" | "HEAD", true) => "list",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::core("GET", "/api/v1/nodes", "", ["list", "nodes", "", ""])]
    #[case::watch("GET", "/api/v1/nodes", "limit=5&watch=true", ["watch", "nodes", "", ""])]
    #[case::one("GET", "/api/v1/nodes/n", "", ["get", "nodes", "", "n"])]
    #[case::namespace("DELETE", "/api/v1/namespaces/a", "", ["delete", "namespaces", "", "a"])]
    #[case::finalize("PUT", "/api/v1/namespaces/a/finalize", "", ["update", "namespaces/finalize", "", "a"])]
    #[case::namespaced("POST", "/api/v1/namespaces/a/secrets", "", ["create", "secrets", "a", ""])]
    #[case::group("PATCH", "/apis/kilo.squat.ai/v1alpha1/peers/p", "", ["patch", "peers", "", "p"])]
    #[case::subresource(
        "PATCH", "/apis/findcloudlet.org/v1alpha1/namespaces/a/cloudletdeployments/wg/status", "",
        ["patch", "cloudletdeployments/status", "a", "wg"]
    )]
    #[case::all("DELETE", "/api/v1/namespaces/a/pods", "", ["deletecollection", "pods", "a", ""])]
    #[case::none("GET", "/readyz", "", ["get", "", "", ""])]
    #[case::discovery("GET", "/apis/apps/v1", "", ["get", "", "", ""])]
    fn calls_are_read_as_the_api_server_reads_them(
        #[case] method: &str,
        #[case] path: &str,
        #[case] query: &str,
        #[case] expected: [&str; 4],
    ) {
        let call = ApiCall::new(method, path, query, "");

        let found = [call.verb, &call.resource, &call.namespace, &call.name];
        assert_eq!(found, expected);
    }
}
