package journal

import (
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// maxBody bounds a body where none is needed.
const maxBody = 1 << 10

// Handler serves the erasure of leads.
type Handler struct {
	leads     *Leads
	directory *auth.Directory
}

// NewHandler makes the handler.
func NewHandler(leads *Leads, directory *auth.Directory) *Handler { return &Handler{leads, directory} }

// Register adds the endpoints.
func (h *Handler) Register(router fiber.Router) {
	router.Delete("/api/v1/leads/:phone", h.erase)
	router.Get("/api/v1/leads/:phone/erasure", h.status)
	router.Post("/api/v1/leads/:phone/allow", h.allow)
}

// Shown is a status as clients see it; times that were not reached are null.
type Shown struct {
	PhoneE164    string  `json:"phoneE164"`
	State        State   `json:"state"`
	Verified     bool    `json:"verified"`
	RequestedAt  string  `json:"requestedAt"`
	ErasedAt     *string `json:"erasedAt"`
	VerifiedAt   *string `json:"verifiedAt"`
	GoneFromDisk *string `json:"goneFromDiskAt"`
	// GoneFromDiskBy is the latest that goneFromDiskAt will be.
	GoneFromDiskBy *string           `json:"goneFromDiskBy"`
	AllowedAt      *string           `json:"allowedAt"`
	Erased         map[string]uint64 `json:"erased"` // every kind, also those of which there was nothing
}

// reached is a moment as clients see it; nil for one that was not reached.
func reached(at leadevents.Millis) *string {
	if at == 0 {
		return nil
	}
	text := at.String()
	return &text
}

// Show is what clients see.
func (s Status) Show() Shown {
	shown := Shown{
		PhoneE164: s.Phone.String(), State: s.State, Verified: s.VerifiedAt != 0, RequestedAt: s.RequestedAt.String(),
		ErasedAt: reached(s.ErasedAt), VerifiedAt: reached(s.VerifiedAt), GoneFromDisk: reached(s.PurgedAt), GoneFromDiskBy: reached(s.PurgeBy), AllowedAt: reached(s.AllowedAt),
		Erased: map[string]uint64{},
	}
	for _, kind := range CountKinds() {
		shown.Erased[kind] = s.Counts[kind]
	}
	return shown
}

// ofLead reads who asks, and about which lead: 401, 400.
func (h *Handler) ofLead(c *fiber.Ctx, names ...string) (by auth.Asker, phone leadevents.Phone, err error) {
	if by, err = h.directory.Asks(c, auth.Admin, names...); err != nil {
		return by, 0, err
	}
	text, err := httpserver.Param(c, "phone")
	if err != nil {
		return by, 0, err
	}
	if phone, err = leadevents.ParsePhone(text); err != nil {
		return by, 0, leadevents.Errorf(leadevents.InvalidRequest, "the phone in the path must be a possible phone number, as +15551234567 or 15551234567")
	}
	return by, phone, nil
}

// noBody refuses a body that would be taken for heard.
func noBody(c *fiber.Ctx) error {
	if c.Request().Header.ContentLength() != 0 {
		return httpserver.ReadJSON(c, maxBody, &struct{}{})
	}
	return nil
}

func (h *Handler) erase(c *fiber.Ctx) error {
	by, phone, err := h.ofLead(c, "wait")
	if err != nil {
		return err
	}
	wait, err := httpserver.QueryFlag(by.Parameters, "wait")
	if err == nil {
		err = noBody(c)
	}
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	status, err := h.leads.Erase(by.Acting(httpserver.Context(c)), by.Org, phone)
	if err != nil {
		return err
	}
	if wait && status.State == Erasing {
		ctx, cancel := httpserver.Waiting(c)
		defer cancel()
		if status, err = h.leads.Wait(ctx, by.Org, phone); err != nil {
			return err
		}
	}
	if status.State == Erasing {
		c.Status(fiber.StatusAccepted)
	}
	return c.JSON(status.Show())
}

func (h *Handler) status(c *fiber.Ctx) error {
	by, phone, err := h.ofLead(c)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	status, err := h.leads.Status(httpserver.Context(c), by.Org, phone)
	if err != nil {
		return err
	}
	return c.JSON(status.Show())
}

func (h *Handler) allow(c *fiber.Ctx) error {
	by, phone, err := h.ofLead(c)
	if err == nil {
		err = noBody(c)
	}
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	status, err := h.leads.Allow(by.Acting(httpserver.Context(c)), by.Org, phone)
	if err != nil {
		return err
	}
	return c.JSON(status.Show())
}
