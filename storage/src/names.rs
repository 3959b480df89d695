//! Names: of groups, and of sled's trees.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bookmesh_rpc::api::RackId;

const REGISTRY: &str = "registry";
const RACK_PREFIX: &str = "rack/";

/// A consensus group: `registry`, or `rack/<id>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

/// The text names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no group: registry or rack/<id>")]
pub struct NameError(String);

impl GroupName {
    /// The orchestrators' group.
    pub fn registry() -> Self {
        Self(REGISTRY.into())
    }

    /// A rack's group.
    pub fn rack(id: &RackId) -> Self {
        Self(format!("{RACK_PREFIX}{id}").into())
    }

    /// The rack, unless it is the registry.
    pub fn rack_id(&self) -> Option<RackId> {
        self.0.strip_prefix(RACK_PREFIX)?.parse().ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let group = Self(text.into());
        if text == REGISTRY || group.rack_id().is_some() {
            return Ok(group);
        }
        Err(NameError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a tree of a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeKind {
    /// Small values, by [`crate::MetaKey`]. Wiped first: a group without them is not there.
    Meta,
    /// Entries, by index and fragment.
    Log,
    /// Checkpoint parts, by generation, part and fragment.
    View,
}

impl TreeKind {
    pub(crate) const ALL: [Self; 3] = [Self::Meta, Self::Log, Self::View];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Meta => "meta/",
            Self::Log => "log/",
            Self::View => "view/",
        }
    }

    /// The tree's name: `log/rack/book-rack-001`.
    pub(crate) fn tree(self, group: &GroupName) -> String {
        format!("{}{group}", self.prefix())
    }

    /// The group whose tree of this kind has that name.
    pub(crate) fn group(self, tree: &str) -> Option<GroupName> {
        tree.strip_prefix(self.prefix())?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_names_its_group() {
        let group = GroupName::rack(&"book-rack-001".parse().unwrap());
        for kind in TreeKind::ALL {
            assert_eq!(kind.group(&kind.tree(&group)), Some(group.clone()));
        }
        assert_eq!(TreeKind::Log.group("__sled__default"), None);
    }

    #[test]
    fn other_texts_are_no_groups() {
        assert!("registry".parse::<GroupName>().is_ok());
        for text in ["", "rack/", "rack/A", "rack/a/b", "registry2", "../x"] {
            assert!(text.parse::<GroupName>().is_err(), "{text}");
        }
    }
}
