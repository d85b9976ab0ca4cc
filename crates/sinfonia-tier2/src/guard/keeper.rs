//! Keeps the table what it is to be.

use serde_json::Value;

use super::nft::{Nft, NftError, Table};
use super::rules::{Change, Desired, Policy, refilled, rules, update};

/// Whoever keeps the table, and how that was when it was last changed.
pub(super) struct Keeper {
    nft: Nft,
    in_force: Option<InForce>,
}

/// The table as we made it.
struct InForce {
    desired: Desired,
    /// All but what changes with pods, as it was listed once the table had been replaced.
    frame: Value,
}

/// What was done for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing: it is what it is to be.
    AsItWas,
    /// It was changed or replaced.
    Changed,
}

impl InForce {
    fn is(&self, table: Option<&Table>) -> bool {
        let sets = self.desired.sets();
        table.is_some_and(|table| {
            table.frame == self.frame
                && table.reachable == sets.reachable
                && table.name_servers == sets.name_servers
        })
    }
}

impl Keeper {
    pub(super) const fn new(nft: Nft) -> Self {
        Self {
            nft,
            in_force: None,
        }
    }

    /// Lets devices reach nothing where there is no table, and tells whether that was so. One that is there knows better than nothing.
    pub(super) async fn close(&mut self, policy: &Policy) -> Result<bool, NftError> {
        let nothing = rules(&Desired::nothing(policy.clone()));
        if self.nft.table().await?.is_some() {
            self.nft.try_out(&nothing).await?;
            return Ok(false);
        }
        self.nft.apply(&nothing).await?;
        Ok(true)
    }

    /// Makes the table what it is to be, by its difference to what it was where that is known.
    pub(super) async fn keep(&mut self, desired: &Desired) -> Result<Kept, NftError> {
        let change = match &self.in_force {
            Some(in_force) => update(&in_force.desired, desired),
            None => Some(Change::Whole(rules(desired))),
        };
        // Unless all goes well, nothing is known of the table, and it is replaced the next time.
        match (change, self.in_force.take()) {
            (None, in_force) => {
                self.in_force = in_force;
                return Ok(Kept::AsItWas);
            }
            (Some(Change::Elements(script)), Some(InForce { frame, .. })) => {
                let desired = desired.clone();
                self.change(&script, InForce { desired, frame }).await?;
            }
            (Some(_), _) => self.replace(desired).await?,
        }
        Ok(Kept::Changed)
    }

    /// Changes elements. Where somebody else has changed the table before, all of it is replaced.
    async fn change(&mut self, script: &str, expected: InForce) -> Result<(), NftError> {
        let applied = self.nft.apply(script).await;
        if applied.is_ok() && expected.is(self.nft.table().await?.as_ref()) {
            self.in_force = Some(expected);
            return Ok(());
        }
        tell_of_others();
        self.replace(&expected.desired).await
    }

    async fn replace(&mut self, desired: &Desired) -> Result<(), NftError> {
        if let Err(error) = self.nft.apply(&refilled(desired)).await {
            tracing::debug!(%error, "what is there of the table is of another kind, it is made anew");
            self.nft.apply(&rules(desired)).await?;
        }
        let table = self.nft.table().await?.ok_or(NftError::Gone)?;
        self.in_force = Some(InForce {
            desired: desired.clone(),
            frame: table.frame,
        });
        Ok(())
    }

    /// Finds out whether somebody else has changed the table, or taken it away. Then it is replaced as a whole the next time.
    pub(super) async fn look(&mut self) -> Result<(), NftError> {
        let table = self.nft.table().await?;
        if self
            .in_force
            .as_ref()
            .is_some_and(|in_force| !in_force.is(table.as_ref()))
        {
            tell_of_others();
            self.in_force = None;
        }
        Ok(())
    }
}

fn tell_of_others() {
    tracing::warn!("another program has changed or flushed the table, it is put back");
}
