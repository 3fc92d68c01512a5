package retention

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// maxSettings bounds the body: the contract's 10 MB.
const maxSettings = 10 << 20

// Handler serves /api/v1/settings/retention.
type Handler struct {
	keeper    *Keeper
	directory *auth.Directory
}

// NewHandler makes the handler.
func NewHandler(keeper *Keeper, directory *auth.Directory) *Handler {
	return &Handler{keeper, directory}
}

// Register adds the endpoints.
func (h *Handler) Register(router fiber.Router) {
	router.Get("/api/v1/settings/retention", h.get)
	router.Put("/api/v1/settings/retention", httpserver.Precheck(maxSettings), h.put)
}

// Shown is rules as JSON has them, in both directions.
type Shown struct {
	Days       *int        `json:"days"` // null: for ever
	EventTypes []ShownType `json:"eventTypes"`
}

// ShownType is the rule of a type.
type ShownType struct {
	EventType string `json:"eventType"`
	Days      *int   `json:"days"`
}

// Show is what clients see of rules.
func (r *Rules) Show() Shown {
	s := Shown{Days: shownDays(r.Days), EventTypes: []ShownType{}}
	for _, name := range r.Names() {
		s.EventTypes = append(s.EventTypes, ShownType{name, shownDays(r.Types[name])})
	}
	return s
}

// Rules reads what a client sent.
func (s Shown) Rules() (*Rules, error) {
	days := func(field string, given *int) (int, error) {
		if given == nil {
			return Forever, nil
		}
		if *given < 1 { // zero would be for ever here, and is meant otherwise there
			return 0, leadevents.Errorf(leadevents.InvalidRequest, "%s must be 1 to %d, or null for ever", field, MaxDays)
		}
		return *given, checkDays(field, *given)
	}
	r := &Rules{Types: make(map[string]int, len(s.EventTypes))}
	var err error
	if r.Days, err = days("days", s.Days); err != nil {
		return nil, err
	}
	for _, t := range s.EventTypes {
		if _, twice := r.Types[t.EventType]; twice {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "eventTypes names one eventType twice")
		}
		if r.Types[t.EventType], err = days("days of an eventType", t.Days); err != nil {
			return nil, err
		}
	}
	return r, r.check()
}

func (h *Handler) get(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Admin)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	return h.show(c, httpserver.Context(c), by.Org)
}

func (h *Handler) put(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Admin)
	if err != nil {
		return err
	}
	var in Shown
	if err := httpserver.ReadJSON(c, maxSettings, &in); err != nil {
		return err
	}
	rules, err := in.Rules()
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	ctx := by.Acting(httpserver.Context(c))
	if err := h.keeper.Set(ctx, by.Org, rules); err != nil {
		return err
	}
	return h.show(c, ctx, by.Org)
}

func (h *Handler) show(c *fiber.Ctx, ctx context.Context, org leadevents.OrgID) error {
	rules, err := h.keeper.Rules(ctx, org)
	if err != nil {
		return err
	}
	return c.JSON(rules.Show())
}
