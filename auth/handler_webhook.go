package auth

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/httpserver"
)

// MaxWebhookBytes is the contract's limit on a webhook's body, as sent and
// decompressed.
const MaxWebhookBytes = 10 << 20

// WebhookRules is what webhooks differ in when they are received.
type WebhookRules struct {
	// Organization finds the organizationId of a body that is not trusted yet.
	Organization func(body []byte) (leadevents.OrgID, bool)
	// Admit, if set, is asked before a body that has arrived is looked into.
	Admit func(*httpserver.Body) error
}

// ReceivedWebhook is a call of a webhook whose sender is known. Release it.
type ReceivedWebhook struct {
	Principal Principal
	Plain     []byte // the body, decompressed

	directory *Directory
	c         *fiber.Ctx
	body      *httpserver.Body
	forbidden error // the scope is missing: told last
	placed    bool  // it has a place for its body
}

// ReceiveWebhook reads a webhook's body and finds out who sent it, in the
// contract's order: 415 and 413 (before it, httpserver.Precheck), 401; the caller
// then decodes (400) and asks Check (403). With an API key 401 is decided before
// the body is read, and a missing scope too, but that is told last. The limits of the
// organization come between 401 and 400: of what is wrong by Refused, else by Admit,
// which the caller asks before it stores anything.
func (d *Directory) ReceiveWebhook(c *fiber.Ctx, rules WebhookRules) (_ *ReceivedWebhook, err error) {
	ctx := httpserver.Context(c)
	request := Webhook{
		Authorization: c.Get(fiber.HeaderAuthorization),
		Signature:     c.Get(SignatureHeader),
		Timestamp:     c.Get(TimestampHeader),
	}
	w := &ReceivedWebhook{directory: d, c: c}
	authenticate := func() (err error) {
		w.Principal, err = d.Webhook(ctx, request)
		if err != nil && leadevents.KindOf(err) == leadevents.Forbidden {
			w.forbidden, err = err, nil
		}
		return err
	}
	if request.Signature == "" {
		if err := authenticate(); err != nil {
			return nil, err
		}
		if err := w.admitLarge(); err != nil {
			return nil, err
		}
	} else if err := d.hopeless(ctx, request); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Release()
			err = w.Refused(err)
		}
	}()
	if w.body, err = httpserver.ReadBody(c, MaxWebhookBytes); err != nil {
		return nil, err
	}
	if rules.Admit != nil {
		if err := rules.Admit(w.body); err != nil {
			return nil, err
		}
	}
	if request.Signature != "" {
		request.Body = w.body.Raw()
		request.Organization = func() (leadevents.OrgID, bool) {
			// The signature is over the bytes as sent; the organization stands
			// in the JSON that they hold.
			plain, err := w.body.Decoded(MaxWebhookBytes)
			if err != nil {
				return 0, false
			}
			return rules.Organization(plain)
		}
		if err := authenticate(); err != nil {
			// Too large when decompressed is decided before the signature.
			if _, tooLarge := w.body.Decoded(MaxWebhookBytes); leadevents.KindOf(tooLarge) == leadevents.BodyTooLarge && tooLarge != nil {
				return nil, tooLarge
			}
			return nil, err
		}
	}
	if w.forbidden == nil {
		httpserver.SetOrganization(c, w.Principal.Org)
	}
	w.Plain, err = w.body.Decoded(MaxWebhookBytes)
	return w, err
}

// hopeless refuses a signature that cannot be one, with no key beside it that might
// be meant instead: whatever the body is, and so before it is read.
func (d *Directory) hopeless(ctx context.Context, request Webhook) error {
	_, malformed := parseSignature(request.Signature, request.Timestamp)
	if malformed == nil {
		return nil
	}
	if request.Authorization == "" {
		d.metrics.refusals.signature.Inc()
		return leadevents.Errorf(leadevents.Unauthenticated, "%s", malformed)
	}
	_, err := d.Webhook(ctx, Webhook{Authorization: request.Authorization})
	if leadevents.KindOf(err) != leadevents.Unauthenticated || err == nil {
		return nil // the body says which of the two counts
	}
	return leadevents.Errorf(leadevents.Unauthenticated, "%s; and of the key beside it: %s", malformed, err)
}

// Acting is a context in which what the audit log has to tell is told of the sender.
func (w *ReceivedWebhook) Acting(c *fiber.Ctx) context.Context {
	return audit.WithActor(httpserver.Context(c), actor(c, w.Principal))
}

// Raw is the body as sent.
func (w *ReceivedWebhook) Raw() []byte { return w.body.Raw() }

// Check says whether the sender may act for the organization that the body
// names: 403 if the scope is missing, or the key is another organization's.
func (w *ReceivedWebhook) Check(org leadevents.OrgID) error {
	if w.forbidden != nil {
		return w.forbidden
	}
	return w.Principal.CheckOrganization(org)
}

// Release gives the body's memory back; Plain and Raw are not to be used after it.
func (w *ReceivedWebhook) Release() {
	if w.body != nil {
		w.body.Release()
	}
}
