package app

import "leadevents/clickhouse/embedded"

// OtherEnv is the LEADEVENTS_* variables that are known but are no settings: the
// given ones, and those that parts below read by themselves.
func OtherEnv(more ...string) []string {
	return append([]string{embedded.LibraryVariable}, more...)
}
