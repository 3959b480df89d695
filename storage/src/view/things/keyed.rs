//! Commands that come again under their key are answered, not applied.

use bookmesh_rpc::api::{ApiError, ClientKey, Command, Outcome, RequestKey};

use super::Things;

impl Things {
    pub(super) fn answer(&mut self, command: &Command) -> Outcome {
        match &command.key {
            None => self.act(&command.action),
            Some(RequestKey::Retry(key)) => {
                if let Some(first) = self.remembered.answer(key, |id| self.orders.get(id)) {
                    return first;
                }
                let outcome = self.act(&command.action);
                self.remembered.insert(*key, self.time_ms, &outcome);
                outcome
            }
            Some(RequestKey::Client(key)) => {
                if let Some(first) = self.clients_answer(key) {
                    return first;
                }
                let outcome = self.act(&command.action);
                self.clients.insert(key, self.time_ms, &outcome);
                outcome
            }
        }
    }

    /// What a command under this key would be answered without being applied: the first answer, or
    /// that it can't be told any more, or that the key was another request's. `None` for a key that
    /// is new here.
    pub fn first_answer(&self, key: &RequestKey) -> Option<Outcome> {
        match key {
            RequestKey::Retry(key) => self.remembered.answer(key, |id| self.orders.get(id)),
            RequestKey::Client(key) => {
                let (thing, order) = (|id| self.things.get(&id), |id| self.orders.get(id));
                self.clients.first_answer(key, thing, order)
            }
        }
    }

    /// Refuses a key that could not be remembered by this time, so that its write need not stand in
    /// the log to be refused there. The view's own time does not do: it stands still while every
    /// write is refused.
    ///
    /// # Errors
    /// [`ApiError::KeysFull`].
    pub fn has_room_for(&self, key: &RequestKey, now_ms: u64) -> Result<(), ApiError> {
        let RequestKey::Client(key) = key else { return Ok(()) };
        if self.clients.has_old(now_ms) {
            return Ok(());
        }
        match self.clients_answer(key) {
            Some(Err(full @ ApiError::KeysFull { .. })) => Err(full),
            _ => Ok(()),
        }
    }

    fn clients_answer(&self, key: &ClientKey) -> Option<Outcome> {
        let (thing, order) = (|id| self.things.get(&id), |id| self.orders.get(id));
        self.clients.answer(key, self.time_ms, || self.name(), thing, order)
    }

    /// For errors.
    fn name(&self) -> String {
        self.rack().map_or_else(|| "the rack".to_owned(), ToString::to_string)
    }
}
