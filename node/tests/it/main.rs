//! Scenarios over real processes, one file each, named for what they protect; and the rules that
//! the tree itself keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "a test binary has nobody to show anything to")]

mod a_rack_of_three_outlives_any_one;
mod a_retired_rack_is_gone;
mod a_second_signal_ends_at_once;
mod a_stranger_gets_nothing;
mod an_orchestrator_comes_back;
mod data_at_rest_is_sealed;
mod goodbooks_read_back_exactly;
mod kill_nine_during_an_import;
mod mdns_finds_a_mesh_on_the_lan;
mod one_bootstrap_address_is_enough;
mod openraft_accepts_our_storage;
mod orchestrators_of_three_lose_one;
mod racks_go_on_without_orchestrators;
mod support;
mod tidy;
mod two_registries_are_not_mixed;
mod up_keeps_what_it_has;
