package leadevents

import _ "embed"

// OpenAPI is the contract as a document (OpenAPI 3.0, YAML), which every server
// serves at /api/v1/openapi.yaml. A test holds its paths, methods, status codes
// and examples to a running server's.
//
//go:embed openapi.yaml
var OpenAPI []byte
