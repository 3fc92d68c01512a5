// Package analyst is the database user that each organization's own SQL runs as: its
// name and password, what it may do, and the statements that make it. It is the first
// wall around that SQL, made of ClickHouse's own rights:
//
//	lead_events ◀── SELECT … FINAL WHERE organization_id = 42 ── events ◀── SELECT ── the user
//	all rows        a view that reads as whoever made it         in a database   who has no other right
//	                (DEFINER); the number is written out         of its own
//
// A server makes a user for each organization when it is first needed ([Own]). The
// embedded engine reads its users once, when it starts; there a pool of users is made
// ahead, each with a database of its own, and an organization takes the first that is
// free ([Pooled]). The view is the same, and so is what the user may do.
//
// Nobody stores a password: it is derived from the one of the server's own ClickHouse
// user, so all server processes have it, and who can derive it has all rights already.
package analyst
