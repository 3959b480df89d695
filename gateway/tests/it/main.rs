//! The gateway over real HTTP and a real mesh on loopback, with small fake racks behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod answers_are_compressed;
mod answers_carry_security_headers;
mod bad_input_writes_nothing;
mod batches_answer_each_book;
mod bodies_are_bounded;
mod books_travel_through_the_mesh;
mod browsers_of_other_origins;
mod clients_are_rate_limited;
mod connections_are_bounded;
mod errors_have_one_shape;
mod eventual_reads_say_how_old_they_are;
mod if_match_takes_lists;
mod keys_make_writes_come_once;
mod leaders_are_found;
mod lists_cover_all_racks;
mod logs_can_be_followed;
mod malformed_heads_get_the_error_shape;
mod new_books_find_a_rack;
mod operators_see_health;
mod orchestrators_take_over;
mod racks_are_found_without_orchestrators;
mod racks_are_recovered_by_hand;
mod racks_are_retired;
mod readers_of_a_recovered_rack_begin_anew;
mod settings_hold_for_the_mesh;
mod slow_readers_are_cut_off;
mod support;
mod the_document_is_true;
