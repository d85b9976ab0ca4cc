//! When a tunnel is dead, and what is to be done about it, as a machine without clock and socket.
//!
//! Silence alone is no sign: no answer is due to keep-alives, so that an idle tunnel is silent. A handshake that nobody answers is one,
//! and the endpoint begins one within seconds of a packet that is not answered.

use std::time::Duration;

/// For how long a handshake has to be in vain before the tunnel counts as silent, or as dead: the endpoint has repeated it twice by
/// then, so that one lost packet is no reason.
const PROOF: Duration = Duration::from_secs(3);

/// Time between two looks at where the cloudlet's host name leads.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);

/// Most that the age of a handshake in vain counts for when it is seen first. It is older only if nobody looked, as while a laptop was
/// shut, and then the network needs a moment as well.
const LONGEST_UNSEEN: Duration = Duration::from_secs(1);

/// Pauses after searches for another cloudlet that came to nothing; the last one goes on for ever.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// What the tunnel tells of a cloudlet that does not answer a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// For how long something that was sent is without an answer.
    pub(crate) unanswered: Duration,
    /// For how long a handshake is.
    pub(crate) asked: Duration,
}

impl Silence {
    /// What it amounts to that something that was sent is without an answer for this long, and a handshake for that long; silence alone is
    /// none.
    pub(crate) fn of(unanswered: Option<Duration>, asked: Option<Duration>) -> Option<Self> {
        let asked = asked?;
        Some(Self {
            unanswered: unanswered.unwrap_or(asked),
            asked,
        })
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tell that the cloudlet does not answer.
    TellSilence,
    /// See whether the cloudlet's host name leads to another address by now.
    Resolve,
    /// Look for another cloudlet.
    FailOver,
    /// Tell that the cloudlet answers again, and stop looking for another one.
    Recovered,
}

/// Watches one tunnel. Times are since any moment that stays the same.
#[derive(Debug)]
pub(crate) struct Watch {
    failover_after: Option<Duration>,
    silent: Option<Silent>,
}

#[derive(Debug)]
struct Silent {
    since: Duration,
    asked: Duration,
    told: bool,
    resolve_at: Duration,
    failover_at: Duration,
    failures: usize,
}

impl Watch {
    /// Takes the tunnel for dead after this time, or never.
    pub(crate) const fn new(failover_after: Option<Duration>) -> Self {
        Self {
            failover_after,
            silent: None,
        }
    }

    /// Takes what the tunnel tells now, and says what is to be done first; other things are said with the next observations.
    pub(crate) fn observe(&mut self, now: Duration, silence: Option<Silence>) -> Option<Action> {
        let Some(silence) = silence else {
            let told = self.silent.take().is_some_and(|silent| silent.told);
            return told.then_some(Action::Recovered);
        };
        let silent = self.silent.get_or_insert(Silent::begin(now, silence));
        silent.next(now, self.failover_after)
    }

    /// Notes that no other cloudlet was found, or none that answers.
    pub(crate) fn found_nobody(&mut self, now: Duration) {
        if let Some(silent) = &mut self.silent {
            let pause = PAUSES.get(silent.failures).or(PAUSES.last());
            silent.failover_at = now + pause.copied().unwrap_or_default();
            silent.failures += 1;
        }
    }

    /// Notes that the tunnel leads to another cloudlet, of which nothing is known yet.
    pub(crate) fn moved(&mut self) {
        self.silent = None;
    }

    /// For how long the cloudlet has been silent, once that is worth telling.
    pub(crate) fn silent_for(&self, now: Duration) -> Option<Duration> {
        let silent = self.silent.as_ref().filter(|silent| silent.told)?;
        Some(now.saturating_sub(silent.since))
    }
}

impl Silent {
    fn begin(now: Duration, silence: Silence) -> Self {
        let asked = now.saturating_sub(silence.asked.min(LONGEST_UNSEEN));
        Self {
            since: now.saturating_sub(silence.unanswered),
            asked,
            told: false,
            resolve_at: asked + PROOF,
            failover_at: Duration::ZERO,
            failures: 0,
        }
    }

    fn next(&mut self, now: Duration, failover_after: Option<Duration>) -> Option<Action> {
        let proof = failover_after.map_or(PROOF, |limit| limit.min(PROOF));
        let proven = now.saturating_sub(self.asked) >= proof;
        let dead = failover_after.is_some_and(|limit| now.saturating_sub(self.since) >= limit);
        if proven && !self.told {
            self.told = true;
            return Some(Action::TellSilence);
        }
        if proven && dead && now >= self.failover_at {
            // Until the search has come to an end, which is noted.
            self.failover_at = Duration::MAX;
            return Some(Action::FailOver);
        }
        if now >= self.resolve_at {
            self.resolve_at = now + RESOLVE_INTERVAL;
            return Some(Action::Resolve);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What a tunnel tells whose application sent something at `sent`, while a handshake is in vain since `asked`.
    fn silence(now: u64, sent: u64, asked: u64) -> Option<Silence> {
        (now >= asked).then(|| Silence {
            unanswered: seconds(now - sent),
            asked: seconds(now - asked),
        })
    }

    /// What is to be done in each second of a tunnel that dies at 100 s, whose application sends something then.
    fn actions(watch: &mut Watch, until: u64) -> Vec<(u64, Action)> {
        let observe = |now| Some((now, watch.observe(seconds(now), silence(now, 100, 102))?));
        (90..until).filter_map(observe).collect()
    }

    #[test]
    fn a_dead_tunnel_is_told_its_name_looked_up_and_then_left() {
        let mut watch = Watch::new(Some(seconds(15)));

        let actions = actions(&mut watch, 120);

        assert_eq!(
            actions,
            [
                (105, Action::TellSilence),
                (106, Action::Resolve),
                (115, Action::FailOver),
                (116, Action::Resolve),
            ]
        );
    }

    #[test]
    fn a_tunnel_whose_handshakes_are_answered_is_never_dead() {
        let mut watch = Watch::new(Some(seconds(15)));

        let actions = (0..1000).filter_map(|now| watch.observe(seconds(now), None));

        assert_eq!(actions.count(), 0);
    }

    #[test]
    fn one_handshake_that_takes_a_second_is_nothing_to_tell() {
        let mut watch = Watch::new(Some(seconds(15)));

        let told = [silence(102, 100, 102), silence(103, 100, 102), None]
            .into_iter()
            .zip(102..)
            .find_map(|(silence, now)| watch.observe(seconds(now), silence));

        assert_eq!(told, None);
    }

    #[test]
    fn a_packet_that_was_long_without_an_answer_does_not_save_the_proof() {
        let mut watch = Watch::new(Some(seconds(15)));
        let silence = |now| silence(now, 100, 115);

        assert_eq!(watch.observe(seconds(115), silence(115)), None);
        assert_eq!(watch.observe(seconds(117), silence(117)), None);
        assert_eq!(
            watch.observe(seconds(118), silence(118)),
            Some(Action::TellSilence)
        );
        assert_eq!(
            watch.observe(seconds(118), silence(118)),
            Some(Action::FailOver)
        );
    }

    #[test]
    fn a_device_that_slept_gives_the_network_a_moment() {
        let mut watch = Watch::new(Some(seconds(15)));
        let slept = silence(10_000, 100, 102);

        assert_eq!(watch.observe(seconds(10_000), slept), None);
        assert_eq!(watch.observe(seconds(10_001), None), None);
    }

    #[test]
    fn a_tunnel_that_comes_back_in_time_is_kept_and_begins_anew() {
        let mut watch = Watch::new(Some(seconds(15)));
        let first = actions(&mut watch, 110);

        let back = watch.observe(seconds(110), None);
        let later = (111..130).find_map(|now| {
            let action = watch.observe(seconds(now), silence(now, 111, 112))?;
            (action == Action::FailOver).then_some(now)
        });

        assert_eq!(first.last(), Some(&(106, Action::Resolve)));
        assert_eq!(back, Some(Action::Recovered));
        assert_eq!(later, Some(126));
    }

    #[test]
    fn where_nobody_else_is_found_the_search_is_repeated_ever_more_rarely() {
        let mut watch = Watch::new(Some(seconds(15)));
        let mut searches = Vec::new();

        for now in 100..230 {
            if watch.observe(seconds(now), silence(now, 100, 102)) == Some(Action::FailOver) {
                searches.push(now - 100);
                watch.found_nobody(seconds(now));
            }
        }

        assert_eq!(searches, [15, 20, 30, 50, 80, 110]);
    }

    #[test]
    fn no_search_begins_while_one_is_under_way() {
        let mut watch = Watch::new(Some(seconds(15)));

        let searches = actions(&mut watch, 400)
            .into_iter()
            .filter(|(_, action)| *action == Action::FailOver);

        assert_eq!(searches.count(), 1);
    }

    #[rstest]
    #[case::never(None, None)]
    #[case::at_once(Some(1), Some(104))]
    #[case::later(Some(60), Some(160))]
    fn the_user_says_when_a_tunnel_is_dead(#[case] after: Option<u64>, #[case] at: Option<u64>) {
        let mut watch = Watch::new(after.map(seconds));

        let search = actions(&mut watch, 300)
            .into_iter()
            .find(|(_, action)| *action == Action::FailOver);

        assert_eq!(search.map(|(now, _)| now), at);
    }

    #[test]
    fn another_cloudlet_is_not_blamed_for_the_silence_of_the_first() {
        let mut watch = Watch::new(Some(seconds(15)));
        actions(&mut watch, 120);

        watch.moved();

        assert_eq!(watch.silent_for(seconds(120)), None);
        assert_eq!(watch.observe(seconds(120), None), None);
    }

    #[test]
    fn silence_is_counted_from_the_first_packet_without_an_answer() {
        let mut watch = Watch::new(None);
        actions(&mut watch, 110);

        assert_eq!(watch.silent_for(seconds(112)), Some(seconds(12)));
    }
}
