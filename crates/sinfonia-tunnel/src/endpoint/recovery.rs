//! When to begin a handshake because the peer is silent, and when to repeat one that is not answered.
//!
//! The protocol waits 15 s before it takes silence for a lost session, and repeats a handshake each 5 s. A Kilo gateway forgets
//! all its sessions whenever any of its peers changes, so waiting is the rule here and not the exception. This module asks
//! after 2 s. That alone would ask a healthy peer again and again that has nothing to say, so each question that was in vain
//! doubles the patience. A packet with content restores it, as proof of a conversation, and so does the certainty that a session was lost.

use std::time::Duration;

use super::Moment;

/// Silence after which the first handshake begins.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// Longest patience with a peer that does not answer data. One that has the session and nothing to say confirms what it got after 10 s
/// (KEEPALIVE_TIMEOUT), so that this never ends for it. Where it does, the session was lost, and the patience begins anew: a gateway that
/// forgets sessions every few seconds has to be asked more often than that.
const DATA_PATIENCE: Duration = Duration::from_secs(12);

/// Longest patience with a peer that does not answer keep-alives: no answer is due to them, so that silence is the usual state of
/// an idle tunnel. This makes the questions as rare as the ordinary renewal of keys.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(120);

/// Pause before the first repetition of a handshake; it doubles each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest pause between repetitions: the protocol's own (REKEY_TIMEOUT).
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Jitter that is added to each pause, so that peers that began together do not go on together.
const JITTER_MILLIS: u32 = 334;

/// What was sent since the peer was heard last, and the handshake under way.
#[derive(Debug)]
pub(super) struct Recovery {
    data: Patience,
    keepalive: Patience,
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Patience {
    /// The first unanswered message of its kind.
    since: Option<Moment>,
    length: Duration,
    limit: Duration,
    /// What follows the longest patience.
    after_limit: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    due: Moment,
    pause: Duration,
}

impl Recovery {
    pub(super) const fn new() -> Self {
        Self {
            data: Patience::new(DATA_PATIENCE, FIRST_PATIENCE),
            keepalive: Patience::new(KEEPALIVE_PATIENCE, KEEPALIVE_PATIENCE),
            retry: None,
        }
    }

    pub(super) fn sent_data(&mut self, now: Moment) {
        self.data.since.get_or_insert(now);
    }

    pub(super) fn sent_keepalive(&mut self, now: Moment) {
        self.keepalive.since.get_or_insert(now);
    }

    /// Notes an initiation; `entropy` is any random number, for the jitter.
    pub(super) fn sent_initiation(&mut self, now: Moment, entropy: u32) {
        let pause = self.retry.map_or(FIRST_RETRY, |retry| {
            retry.pause.saturating_mul(2).min(LAST_RETRY)
        });
        let jitter = Duration::from_millis(u64::from(entropy % JITTER_MILLIS));
        self.retry = Some(Retry {
            due: now + pause + jitter,
            pause,
        });
    }

    /// Notes any authenticated message of the peer.
    pub(super) const fn heard(&mut self) {
        self.data.since = None;
        self.keepalive.since = None;
    }

    /// Notes a packet with content: the peer has the session, and it answers.
    pub(super) const fn heard_content(&mut self) {
        self.heard();
        self.data.length = FIRST_PATIENCE;
        self.keepalive.length = FIRST_PATIENCE;
    }

    /// Notes that a handshake came to its end, good or bad.
    pub(super) const fn handshake_ended(&mut self) {
        self.retry = None;
    }

    pub(super) const fn in_handshake(&self) -> bool {
        self.retry.is_some()
    }

    /// When [`Self::take_due`] should be asked next.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.retry {
            Some(retry) => Some(retry.due),
            None => [self.data.end(), self.keepalive.end()]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// Whether an initiation is due now. The caller sends one and says so.
    pub(super) fn take_due(&mut self, now: Moment) -> bool {
        if let Some(retry) = self.retry {
            return retry.due <= now;
        }
        let over = self.deadline().is_some_and(|deadline| deadline <= now);
        if over {
            // One handshake is the answer to either.
            self.data.ask();
            self.keepalive.ask();
        }
        over
    }
}

impl Patience {
    const fn new(limit: Duration, after_limit: Duration) -> Self {
        Self {
            since: None,
            length: FIRST_PATIENCE,
            limit,
            after_limit,
        }
    }

    fn end(&self) -> Option<Moment> {
        self.since.map(|since| since + self.length)
    }

    /// Spends the patience with what is unanswered.
    fn ask(&mut self) {
        if self.since.take().is_some() {
            self.length = if self.length < self.limit {
                self.length.saturating_mul(2).min(self.limit)
            } else {
                self.after_limit
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(seconds))
    }

    /// The times of the questions to a peer that answers handshakes and nothing else, while data is sent each second.
    fn questions(send: fn(&mut Recovery, Moment), seconds: u64) -> Vec<u64> {
        let mut recovery = Recovery::new();
        let mut questions = Vec::new();
        for second in 0..seconds {
            if recovery.take_due(at(second)) {
                recovery.sent_initiation(at(second), 0);
                recovery.heard();
                recovery.handshake_ended();
                questions.push(second);
            }
            send(&mut recovery, at(second));
        }
        questions
    }

    #[test]
    fn a_peer_that_never_answers_data_is_asked_ever_more_rarely_until_it_has_lost_the_session_for_certain()
     {
        assert_eq!(
            questions(Recovery::sent_data, 55),
            [2, 6, 14, 26, 28, 32, 40, 52, 54]
        );
    }

    #[test]
    fn a_peer_that_never_answers_keepalives_is_asked_as_rarely_as_keys_are_renewed() {
        assert_eq!(
            questions(Recovery::sent_keepalive, 500),
            [2, 6, 14, 30, 62, 126, 246, 366, 486]
        );
    }

    /// As where other devices come and go at such a pace: what is sent is lost until the device shakes hands, and again after the next loss.
    #[test]
    fn a_gateway_that_forgets_its_sessions_every_nine_seconds_is_found_again_soon() {
        let mut recovery = Recovery::new();
        let mut found = Vec::new();
        let mut has_session = true;
        for second in 0..60 {
            if second % 9 == 0 {
                has_session = false;
            }
            if recovery.take_due(at(second)) {
                recovery.sent_initiation(at(second), 0);
                recovery.heard();
                recovery.handshake_ended();
                has_session = true;
                found.push(second / 9);
            }
            // Seldom enough that no answer restores the impatience.
            if !has_session {
                recovery.sent_data(at(second));
            }
        }

        assert_eq!(found, [0, 1, 2, 4, 5, 6]);
    }

    #[test]
    fn a_packet_with_content_restores_the_impatience() {
        let mut recovery = Recovery::new();
        recovery.sent_data(at(0));
        assert!(recovery.take_due(at(2)));

        recovery.heard_content();
        recovery.sent_data(at(10));

        assert_eq!(recovery.deadline(), Some(at(12)));
    }

    #[test]
    fn an_unanswered_handshake_is_repeated_after_1_2_4_and_then_5_seconds() {
        let mut recovery = Recovery::new();
        let mut times = vec![0];
        recovery.sent_initiation(at(0), 0);

        for second in 1..25 {
            if recovery.take_due(at(second)) {
                recovery.sent_initiation(at(second), 0);
                times.push(second);
            }
        }

        assert_eq!(times, [0, 1, 3, 7, 12, 17, 22]);
    }
}
