package ingest

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// MaxBodyBytes is the contract's limit on a body, as sent and decompressed.
const MaxBodyBytes = 10 << 20

// Handler serves POST /api/v1/webhooks/lead-events.
type Handler struct {
	ingester  *Ingester
	directory *auth.Directory
	decoders  sync.Pool
}

// NewHandler makes the handler.
func NewHandler(ingester *Ingester, directory *auth.Directory) *Handler {
	return &Handler{
		ingester:  ingester,
		directory: directory,
		decoders:  sync.Pool{New: func() any { return new(Decoder) }},
	}
}

// Register adds the endpoint.
func (h *Handler) Register(router fiber.Router) {
	router.Post("/api/v1/webhooks/lead-events", httpserver.Precheck(MaxBodyBytes), h.leadEvents)
}

// resultJSON is the answer of API.md 1.
type resultJSON struct {
	Status     string                   `json:"status"`
	Received   int                      `json:"received"`
	Inserted   int                      `json:"inserted"`
	Duplicates int                      `json:"duplicates"`
	Rejected   int                      `json:"rejected"`
	Rejects    []leadevents.ShownReject `json:"rejects"`
	Batch      string                   `json:"batchId,omitzero"`
	DryRun     bool                     `json:"dryRun,omitzero"`
}

// leadEvents checks in the contract's order: 415 and 413 (before it), 401, 400,
// 403. With an API key, 401 is decided before the body is read, and a missing
// scope too, but that is told last.
func (h *Handler) leadEvents(c *fiber.Ctx) error {
	// Without ClickHouse there are no credentials to judge by, and waiting for them
	// would not help. Whatever is decided without a store is decided first: a dead
	// Redis is told by Submit.
	if err := h.ingester.breakers.store.refuse(); err != nil {
		return err
	}
	ctx := httpserver.Context(c)
	request := auth.Webhook{
		Authorization: c.Get(fiber.HeaderAuthorization),
		Signature:     c.Get(auth.SignatureHeader),
	}
	var (
		principal auth.Principal
		forbidden error
		err       error
	)
	authenticate := func() (err error) {
		principal, err = h.directory.Webhook(ctx, request)
		if err != nil && leadevents.KindOf(err) == leadevents.Forbidden {
			forbidden, err = err, nil
		}
		return err
	}
	if request.Signature == "" {
		if err := authenticate(); err != nil {
			return err
		}
	}
	body, err := httpserver.ReadBody(c, MaxBodyBytes)
	if err != nil {
		return err
	}
	defer body.Release()
	up, cancel := h.ingester.breakers.within(ctx)
	defer cancel()
	pass, err := h.ingester.gate.enter(up, body)
	if err != nil {
		return err
	}
	defer pass.leave()
	if request.Signature != "" {
		request.Body = body.Raw()
		request.Organization = func() (leadevents.OrgID, bool) {
			// The signature is over the bytes as sent; the organization stands
			// in the JSON that they hold.
			plain, err := body.Decoded(MaxBodyBytes)
			if err != nil {
				return 0, false
			}
			return LookupOrganization(plain)
		}
		if err := authenticate(); err != nil {
			// Too large when decompressed is decided before the signature.
			if _, tooLarge := body.Decoded(MaxBodyBytes); leadevents.KindOf(tooLarge) == leadevents.BodyTooLarge && tooLarge != nil {
				return tooLarge
			}
			return err
		}
	}
	if forbidden == nil {
		httpserver.SetOrganization(c, principal.Org)
	}

	plain, err := body.Decoded(MaxBodyBytes)
	if err != nil {
		return err
	}
	if err := pass.settle(up, len(plain)); err != nil {
		return err
	}
	if err := pass.decode(up, len(plain)); err != nil {
		return err
	}
	decoder := h.decoders.Get().(*Decoder)
	defer func() {
		decoder.Reset()
		h.decoders.Put(decoder)
	}()
	timer := h.ingester.metrics.step("decode")
	decoded, err := decoder.Decode(plain)
	timer()
	if err != nil {
		return err
	}
	pass.decoded(len(decoded.Rejects))
	dryRun, err := flag(c, "dryRun")
	if err != nil {
		return err
	}
	key := ""
	if !dryRun { // a dry run ignores it
		if key, err = idempotencyKey(c); err != nil {
			return err
		}
	}
	if forbidden != nil {
		return forbidden
	}
	if err := principal.CheckOrganization(decoded.Org); err != nil {
		return err
	}
	call := &Call{
		Org: decoded.Org, EventType: decoded.EventType, Received: decoded.Received,
		Events: decoded.Events, Rejects: decoded.Rejects,
		KeyID: principal.KeyID, IdempotencyKey: key, DryRun: dryRun,
	}
	if !dryRun {
		sum := sha256.Sum256(body.Raw())
		copy(call.BodyHash[:], sum[:])
	}
	result, err := h.ingester.Submit(ctx, call)
	if err != nil {
		return err
	}
	answer := resultJSON{
		Status: "accepted", Received: result.Received, Inserted: result.Inserted,
		Duplicates: result.Duplicates, Rejected: result.Rejected,
		Rejects: make([]leadevents.ShownReject, len(result.Rejects)), DryRun: dryRun,
	}
	if result.Batch != 0 {
		answer.Batch = result.Batch.String()
	}
	for i := range result.Rejects {
		answer.Rejects[i] = result.Rejects[i].Show()
	}
	return c.JSON(answer)
}

// flag reads a boolean of the query string.
func flag(c *fiber.Ctx, name string) (bool, error) {
	switch value := c.Query(name); value {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	default:
		return false, leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s must be true or false", name)
	}
}

// idempotencyKey reads the header; absent is "", present and empty is an error.
func idempotencyKey(c *fiber.Ctx) (string, error) {
	values := c.Request().Header.PeekAll("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := strings.Clone(string(values[0]))
	if n := utf8.RuneCountInString(key); len(values) > 1 || n < 1 || n > MaxIdempotencyKeyLength || !utf8.ValidString(key) {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "the header Idempotency-Key must be one value of 1 to %d characters", MaxIdempotencyKeyLength)
	}
	return key, nil
}

// Drain is how long a stop waits for calls in flight: a whole request's time.
func (in *Ingester) Drain() time.Duration {
	return in.cfg.PeekTimeout + in.ledger.Deadline()
}
