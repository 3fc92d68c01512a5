package audit

import (
	"context"
	"net/netip"
)

// ActorType is by what an actor was known.
type ActorType string

// The types of actors.
const (
	APIKey     ActorType = "api_key"     // ID is the key's
	SigningKey ActorType = "signing_key" // ID is the key's
	Operator   ActorType = "operator"    // the operator token; it has no ID
	Command    ActorType = "command"     // ID is user@host of whoever ran it, as the system says
	// Unknown is an act of which nobody has said whose it is.
	Unknown ActorType = "unknown"
)

// Actor is who acts, and from where.
type Actor struct {
	Type ActorType
	ID   string
	// Client is the address that the request came from; none of commands.
	Client    netip.Addr
	RequestID string
}

type actorKey struct{}

// WithActor is a context in which all that is audited is the actor's. It travels
// with the context because it says nothing about what is done, and to what: that
// is an argument everywhere.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf is the actor of a context.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Type: Unknown}
}
