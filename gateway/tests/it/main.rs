//! The gateway over real HTTP and a real mesh on loopback, with small fake racks behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod batches_answer_each_book;
mod bodies_are_bounded;
mod books_travel_through_the_mesh;
mod connections_are_bounded;
mod errors_have_one_shape;
mod eventual_reads_say_how_old_they_are;
mod keys_make_writes_come_once;
mod leaders_are_found;
mod lists_cover_all_racks;
mod logs_can_be_followed;
mod new_books_find_a_rack;
mod operators_see_health;
mod orchestrators_take_over;
mod racks_are_found_without_orchestrators;
mod racks_are_recovered_by_hand;
mod racks_are_retired;
mod settings_hold_for_the_mesh;
mod support;
mod the_document_is_true;
