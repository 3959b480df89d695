//! A worker's store, which is opened again when it has failed: sled's faults, a full disk's
//! included, last until then.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bookmesh_storage::{Group, GroupName, Health, Store, StoreError};

use super::base::{BaseConfig, StartError};
use super::worker::Worker;

/// How often the store's health is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The store, while it is open.
#[derive(Clone)]
pub struct Disk(Arc<RwLock<Option<Store>>>);

impl Disk {
    /// An open store.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(RwLock::new(Some(store))))
    }

    /// The store.
    ///
    /// # Errors
    /// [`StoreError::Closed`] while it is being opened again.
    pub fn store(&self) -> Result<Store, StoreError> {
        let store = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        store.ok_or(StoreError::Closed)
    }

    /// Opens or makes a group, as [`Store::group`] does. Blocks.
    ///
    /// # Errors
    /// Those of [`Store::group`].
    pub fn group(&self, name: &GroupName) -> Result<Group, StoreError> {
        self.store()?.group(name)
    }

    /// Whether it takes entries.
    pub fn health(&self) -> Health {
        match self.store() {
            Ok(store) => store.health(),
            Err(error) => Health::Failed(error.to_string()),
        }
    }

    /// Closes it for good. Blocks.
    ///
    /// # Errors
    /// Those of [`Store::close`].
    pub fn close(&self) -> Result<(), StoreError> {
        let store = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        store.map_or(Ok(()), Store::close)
    }

    fn set(&self, store: Store) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }
}

/// Opens the store again whenever it has failed, until the task is ended. The racks' members end
/// first; their racks find them gone, and open them again.
pub async fn keep(disk: Disk, base: BaseConfig, dir: PathBuf, worker: Arc<Worker>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(Health::Failed(why)) = disk.store().map(|store| store.health()) else { continue };
        tracing::error!(why, "the store has failed: it is closed, and opened again");
        worker.stop().await;
        let closing = disk.clone();
        // That it failed is known; what counts was acknowledged before.
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        loop {
            match base.open_store(dir.clone()).await {
                Ok(store) => break disk.set(store),
                Err(StartError::Stopped) => return,
                Err(error) => tracing::warn!(%error, "the store can't be opened yet"),
            }
            tokio::time::sleep(LOOK).await;
        }
        tracing::info!("the store is open again");
    }
}
