//! Where a scenario can be cut.

/// Where a scenario is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Point {
    /// At a fail point of Tier 2, as its line says.
    Own(String),
    /// While helm works, before or after it has changed something in the cluster.
    Helm {
        /// How many changes came before.
        change: usize,
        /// Whether this one is done.
        after: bool,
    },
}

/// The points that differ, of those that an undisturbed run has passed and of as many changes by helm.
///
/// What a crash leaves does not differ between what comes after one thing and what comes before the next. The Lease is renewed all the
/// time, and one renewal stands for all.
pub(super) fn choose(passed: &str, changes_by_helm: usize) -> Vec<Point> {
    let mut chosen = Vec::new();
    let mut just_after = false;
    for line in passed.lines() {
        if line.contains(" leases ") {
            if line.ends_with(" update leases 1") {
                chosen.push(Point::Own(line.to_owned()));
            }
            continue;
        }
        if !(just_after && line.starts_with("before ")) {
            chosen.push(Point::Own(line.to_owned()));
        }
        just_after = line.starts_with("after ");
    }
    chosen.extend((0..changes_by_helm).map(|change| Point::Helm {
        change,
        after: false,
    }));
    if let Some(change) = changes_by_helm.checked_sub(1) {
        chosen.push(Point::Helm {
            change,
            after: true,
        });
    }
    chosen
}

#[test]
fn points_between_which_nothing_happens_count_once() {
    let passed = "before create a 1\nbefore update leases 1\nafter create a 1\nbefore patch b 1\nafter patch b 1\nbefore update leases 2\n";

    let own = |line: &str| Point::Own(line.to_owned());
    let helm = |after| Point::Helm { change: 0, after };
    assert_eq!(
        choose(passed, 1),
        [
            own("before create a 1"),
            own("before update leases 1"),
            own("after create a 1"),
            own("after patch b 1"),
            helm(false),
            helm(true),
        ]
    );
}
