//! Scenarios over real processes, one file each, named for what they protect; and the rules that
//! the tree itself keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "a test binary has nobody to show anything to")]

mod a_full_disk_is_got_over;
mod a_keyed_write_is_applied_once;
mod a_minority_leader_answers_nothing;
mod a_new_worker_is_filled_while_writers_go_on;
mod a_paused_leader_never_serves_the_past;
mod a_rack_is_of_one_kind;
mod a_rack_of_three_outlives_any_one;
mod a_rack_that_restarts_reads_what_it_acknowledged;
mod a_rack_without_majority_is_recovered;
mod a_request_is_followed_by_its_id;
mod a_retired_rack_is_gone;
mod a_second_signal_ends_at_once;
mod a_stranger_gets_nothing;
mod a_worker_without_its_disk_is_another_member;
mod an_old_member_says_so;
mod an_orchestrator_comes_back;
mod changes_are_told_once_in_order;
mod damage_is_filled_again;
mod data_at_rest_is_sealed;
mod events_tell_every_change_once;
mod goodbooks_read_back_exactly;
mod history_tells_every_change_once;
mod kill_nine_during_an_import;
mod mdns_finds_a_mesh_on_the_lan;
mod metrics_tell_what_racks_are;
mod one_bootstrap_address_is_enough;
mod one_of_twenty_four_gets_the_book;
mod openraft_accepts_our_storage;
mod operators_have_commands_for_racks;
mod orchestrators_of_three_lose_one;
mod orders_go_on_when_books_are_gone;
mod orders_keep_what_the_book_was;
mod production_logs_hold_no_personal_data;
mod rack_start_keeps_its_workers;
mod racks_go_on_without_orchestrators;
mod scaling_down_and_up_loses_nothing;
mod slow_requests_say_where_their_time_went;
#[path = "../support/mod.rs"]
mod support;
mod the_api_guide_is_true;
mod the_first_node_makes_the_mesh_key;
mod the_leader_is_killed_five_times;
mod the_postman_collection_is_true;
mod tidy;
mod two_registries_are_not_mixed;
mod two_workers_found_one_rack;
mod up_keeps_what_it_has;
mod v1_and_books_are_one;
