// Package configs is every setting of the server: its name, type, default and
// allowed range, and where its value comes from.
//
// A value is looked for in four places, the first that has it wins:
//
//	flags          --listen 0.0.0.0:8080, --set clickhouse.database=events
//	environment    LEADEVENTS_CLICKHOUSE_DATABASE=events
//	the YAML file  clickhouse: {database: events}
//	defaults       the tags of [Settings]
//
// Nothing is guessed: an unknown key, in the file or among the LEADEVENTS_*
// variables, is an error that names the nearest known one, and every value is
// checked against its range before anything starts. All faults are reported at
// once, each with its key, its value, where it came from and what is allowed.
//
// Secrets are of type [auth.Secret], which masks itself wherever it is printed, and
// each may be given as NAME_file (LEADEVENTS_NAME_FILE) instead: the path of a
// file that holds it, as Docker and Kubernetes mount them.
//
// leadevents.yaml beside this file is the commented example; a test holds it
// equal to the defaults.
package configs
