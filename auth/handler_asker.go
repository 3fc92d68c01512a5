package auth

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/httpserver"
	"leadevents/internal/limits"
)

// Asker is who asks for what, with an API key.
type Asker struct {
	Org        leadevents.OrgID   // which is answered for
	Limits     *leadevents.Limits // of the organization; nil without any
	Parameters map[string]string
	// Forbidden is that the key lacks the scope. It is told when all that can be
	// wrong with the question is told.
	Forbidden error

	actor audit.Actor
}

// Acting is a context in which what the audit log has to tell is told of the asker.
func (a Asker) Acting(ctx context.Context) context.Context { return audit.WithActor(ctx, a.actor) }

// actor is a principal as the audit log names it, with where its request came from.
func actor(c *fiber.Ctx, p Principal) audit.Actor {
	a := audit.Actor{Type: audit.APIKey, ID: p.KeyID, Client: httpserver.ClientAddress(c), RequestID: httpserver.RequestID(c)}
	if p.Mode == ModeHMAC {
		a.Type = audit.SigningKey
	}
	return a
}

// Asks reads who asks: 401 first, then 429, then what is wrong with the query string,
// of which the named parameters are known; see [Asker].Forbidden for the rest.
func (d *Directory) Asks(c *fiber.Ctx, scope Scope, names ...string) (Asker, error) {
	return d.AsksFor(c, scope, limits.Want{}, names...)
}

// AsksFor is Asks of a call that wants more of its organization's limits than a
// request, and a place for its body.
func (d *Directory) AsksFor(c *fiber.Ctx, scope Scope, want limits.Want, names ...string) (Asker, error) {
	principal, err := d.Key(httpserver.Context(c), c.Get(fiber.HeaderAuthorization), scope)
	by := Asker{Org: principal.Org, Limits: principal.Limits, actor: actor(c, principal)}
	switch {
	case err == nil:
		httpserver.SetOrganization(c, principal.Org)
	case leadevents.KindOf(err) == leadevents.Forbidden:
		by.Forbidden = err
	default:
		return by, err
	}
	if err := d.admit(c, principal, withBody(c, want)); err != nil {
		return by, err
	}
	by.Parameters, err = httpserver.QueryParameters(c, names...)
	return by, err
}
