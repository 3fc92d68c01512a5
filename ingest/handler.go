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
const MaxBodyBytes = auth.MaxWebhookBytes

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
	Conflicts  *int                     `json:"conflicts,omitempty"` // absent where nobody looked
	Rejects    []leadevents.ShownReject `json:"rejects"`
	Batch      string                   `json:"batchId,omitzero"`
	DryRun     bool                     `json:"dryRun,omitzero"`
}

// leadEvents checks in the contract's order: 415, 413 and 401 when the webhook is
// received, 400 here, 403 last. All that the organization's limits count is asked for
// in one question when its rows are known, before anything is stored.
func (h *Handler) leadEvents(c *fiber.Ctx) error {
	// Without ClickHouse there are no credentials to judge by, and waiting for them
	// would not help. Whatever is decided without a store is decided first: a dead
	// Redis is told by Submit.
	if err := h.ingester.breakers.store.refuse(); err != nil {
		return err
	}
	ctx := httpserver.Context(c)
	up := &whileUp{ctx: ctx, breakers: h.ingester.breakers}
	pass := &pass{gate: h.ingester.gate} // holds nothing yet
	visit := h.ingester.visit()
	ofRun := len(c.Request().Header.Peek(leadevents.RunHeader)) > 0
	defer func() { pass.leave(); visit.leave(); up.end() }()
	received, err := h.directory.ReceiveWebhook(c, auth.WebhookRules{
		Organization: LookupOrganization,
		Admit: func(body *httpserver.Body) (err error) {
			if ofRun && isLarge(body) {
				if err := visit.enter(up.context()); err != nil {
					return err
				}
			}
			pass, err = h.ingester.gate.enter(up.context, body)
			return err
		},
	})
	if err != nil {
		return err
	}
	defer received.Release()
	plain := received.Plain
	if err := pass.room(up.context, len(plain)); err != nil {
		return err
	}
	decoder := h.decoders.Get().(*Decoder)
	putBack := func() {
		decoder.Reset()
		h.decoders.Put(decoder)
	}
	defer func() { putBack() }()
	decoded, err := h.decode(decoder, pass, plain)
	if err != nil {
		return received.Refused(err)
	}
	call, err := asCall(c, received, decoded)
	if err != nil {
		return received.Refused(err)
	}
	if err := received.Admit(call.Received); err != nil {
		return err
	}
	call.visit = visit
	if h.ingester.historical.holds(call, h.ingester.now()) && !visit.tryEnter() {
		putBack() // its rows, and the gate, are for who need not wait
		pass.leave()
		err := visit.enter(up.context())
		if err == nil {
			err = pass.room(up.context, len(plain))
		}
		decoder = h.decoders.Get().(*Decoder)
		if err == nil {
			decoded, err = h.decode(decoder, pass, plain)
		}
		if err != nil {
			return err
		}
		call.Events, call.Index, call.Rejects = decoded.Events, decoded.Index, decoded.Rejects
	}
	result, err := h.ingester.Submit(ctx, call)
	if err != nil {
		return err
	}
	answer := resultJSON{
		Status: "accepted", Received: result.Received, Inserted: result.Inserted,
		Duplicates: result.Duplicates, Rejected: result.Rejected,
		Rejects: make([]leadevents.ShownReject, len(result.Rejects)), DryRun: call.DryRun,
	}
	if result.Batch != 0 {
		answer.Batch = result.Batch.String()
	}
	if result.Conflicts != nil {
		answer.Conflicts = &result.Conflicts.Count
	}
	for i := range result.Rejects {
		answer.Rejects[i] = result.Rejects[i].Show()
	}
	return c.JSON(answer)
}

// decode takes a body apart, for which there is room.
func (h *Handler) decode(decoder *Decoder, pass *pass, plain []byte) (*Request, error) {
	timer := h.ingester.metrics.step("decode")
	decoded, err := decoder.Decode(plain)
	timer()
	if err == nil {
		pass.decoded(len(decoded.Rejects))
	}
	return decoded, err
}

// asCall is the call that a body and its headers make: 400, and 403 last.
func asCall(c *fiber.Ctx, received *auth.ReceivedWebhook, decoded *Request) (*Call, error) {
	dryRun, err := flag(c, "dryRun")
	if err != nil {
		return nil, err
	}
	key, run := "", ""
	if !dryRun { // a dry run ignores them
		if key, err = idempotencyKey(c); err != nil {
			return nil, err
		}
		if run, err = runID(c); err != nil {
			return nil, err
		}
	}
	if err := received.Check(decoded.Org); err != nil {
		return nil, err
	}
	call := &Call{
		Org: decoded.Org, EventType: decoded.EventType, Received: decoded.Received,
		Events: decoded.Events, Index: decoded.Index, Rejects: decoded.Rejects,
		KeyID: received.Principal.KeyID, IdempotencyKey: key, RunID: run, DryRun: dryRun,
	}
	if !dryRun {
		sum := sha256.Sum256(received.Raw())
		copy(call.BodyHash[:], sum[:])
	}
	return call, nil
}

// flag reads a boolean of the query string.
func flag(c *fiber.Ctx, name string) (bool, error) {
	values := c.Context().QueryArgs().PeekMulti(name)
	if len(values) == 0 {
		return false, nil
	}
	// Empty or twice is refused: nothing is stored where it may not have been meant.
	if len(values) == 1 {
		switch string(values[0]) {
		case "false", "0":
			return false, nil
		case "true", "1":
			return true, nil
		}
	}
	return false, leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s must be true or false, once", name)
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

// runID reads the header; absent is "", present and empty is an error.
func runID(c *fiber.Ctx) (string, error) {
	values := c.Request().Header.PeekAll(leadevents.RunHeader)
	if len(values) == 0 {
		return "", nil
	}
	if run := string(values[0]); len(values) == 1 && leadevents.IsRunID(run) {
		return run, nil
	}
	return "", leadevents.Errorf(leadevents.InvalidRequest, "the header %s must be one value of 1 to %d of the characters A-Z, a-z, 0-9, _, . and -", leadevents.RunHeader, leadevents.MaxRunID)
}

// Drain is how long a stop waits for calls in flight: a whole request's time.
func (in *Ingester) Drain() time.Duration {
	return in.cfg.PeekTimeout + in.ledger.Deadline()
}
