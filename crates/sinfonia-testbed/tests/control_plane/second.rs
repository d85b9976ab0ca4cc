use serde_json::json;
use sinfonia_testbed::{ControlPlane, NODE_NAME, Programs, TestFolder, unique_name};

#[test]
fn a_second_control_plane_is_a_cluster_of_its_own_whose_api_server_stops_and_comes_back() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("second");

    let mut second = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    second.create("/api/v1/namespaces", &namespace).unwrap();
    let path = format!("/api/v1/namespaces/{name}");
    assert_eq!(first.find(&path).unwrap(), None);
    assert!(
        second
            .find(&format!("/api/v1/nodes/{NODE_NAME}"))
            .unwrap()
            .is_some()
    );

    second.stop_api_server();
    assert!(second.find(&path).is_err());

    second.start_api_server().unwrap();
    assert!(second.find(&path).unwrap().is_some());
}
