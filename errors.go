package leadevents

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what sort of failure an error is. The list is closed: status codes,
// exit codes and "may I try again" are decided from it, each in one table.
type Kind uint8

// The kinds of API.md 0, in the order of its table.
const (
	Internal Kind = iota // a bug; also every error that carries no kind
	InvalidJSON
	InvalidRequest
	InvalidQuery
	QueryLimit
	Unauthenticated
	OrganizationMismatch
	Forbidden
	NotFound
	Conflict
	BodyTooLarge
	UnsupportedMediaType
	RateLimited
	Unavailable
)

var kindCodes = [...]string{
	Internal:             "internal",
	InvalidJSON:          "invalid_json",
	InvalidRequest:       "invalid_request",
	InvalidQuery:         "invalid_query",
	QueryLimit:           "query_limit",
	Unauthenticated:      "unauthenticated",
	OrganizationMismatch: "organization_mismatch",
	Forbidden:            "forbidden",
	NotFound:             "not_found",
	Conflict:             "conflict",
	BodyTooLarge:         "body_too_large",
	UnsupportedMediaType: "unsupported_media_type",
	RateLimited:          "rate_limited",
	Unavailable:          "unavailable",
}

// Kinds lists every kind, for tables and their tests.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindCodes))
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// Code is the kind's name in the contract ("invalid_json").
func (k Kind) Code() string {
	if int(k) < len(kindCodes) {
		return kindCodes[k]
	}
	return kindCodes[Internal]
}

// String is Code.
func (k Kind) String() string { return k.Code() }

// Error is a failure with a kind. Message is one sentence for the client that
// names the field or the limit; Err, where there is one, is the cause for the
// log and never reaches the client.
type Error struct {
	Kind       Kind
	Message    string
	RetryAfter time.Duration // for RateLimited and Unavailable; zero means the default of a second
	// Unanswered is of Unavailable: the store was not there, or left; what it says
	// itself, of its memory or the time, is an answer.
	Unanswered bool
	Err        error
}

// Error is the message, with the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind. The last %w, if any, becomes part of the
// message too: use [Wrap] for causes that clients must not see.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error()}
}

// Wrap makes an error of a kind with a message for the client and a cause for
// the log.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// KindOf is the kind of the first [Error] in err's chain, Internal without one.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
