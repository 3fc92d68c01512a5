// Package credentials holds every auth.Store to the same suite, and has one in
// memory that passes it, for tests that are not about a database.
package credentials
