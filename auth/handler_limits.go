package auth

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/internal/httpserver"
	"leadevents/internal/limits"
)

// admit takes what a request wants of its organization's limits, and the request
// itself the first time that it is asked. A place is given back when the request is
// over.
func (d *Directory) admit(c *fiber.Ctx, p Principal, want limits.Want) error {
	if p.Limits == nil {
		return nil
	}
	if httpserver.First(c) {
		want.Requests = 1
	}
	release, err := d.cfg.Limiter.Admit(httpserver.Context(c), p.Org, p.Limits, want)
	if release != nil {
		httpserver.AtEnd(c, release)
	}
	return err
}

// withBody is want, with a place for the body that the request may have.
func withBody(c *fiber.Ctx, want limits.Want) limits.Want {
	if want.Place == 0 && httpserver.HasBody(c) {
		want.Place = leadevents.BodiesInFlight
	}
	return want
}

// Charge takes rows of an organization's limit as they come, after AsksFor with
// limits.SomeRows.
func (d *Directory) Charge(ctx context.Context, by Asker, rows int) {
	d.cfg.Limiter.Charge(ctx, by.Org, by.Limits, rows)
}

// Admit takes the request, its body's place and its rows of the organization's limits,
// as far as they are not taken yet: in one question, and before anything of it is
// stored. A refusal is a 429.
func (w *ReceivedWebhook) Admit(rows int) error {
	want := limits.Want{Rows: rows}
	if !w.placed {
		want = withBody(w.c, want)
	}
	return w.directory.admit(w.c, w.Principal, want)
}

// Refused counts the request, which is refused with err: what is wrong is limited too.
func (w *ReceivedWebhook) Refused(err error) error {
	if refusal := w.directory.admit(w.c, w.Principal, limits.Want{}); refusal != nil {
		return refusal
	}
	return err
}

// admitLarge takes a place for a body that may be large before it is read: what it
// holds of the memory for bodies is what others lack. All else is taken by Admit.
func (w *ReceivedWebhook) admitLarge() error {
	if w.Principal.Limits == nil || w.Principal.Limits[leadevents.BodiesInFlight] == 0 || !httpserver.HasLargeBody(w.c) {
		return nil
	}
	want := withBody(w.c, limits.Want{})
	w.placed = want.Place != 0
	return w.directory.admit(w.c, w.Principal, want)
}

// limitsJSON is the body of PUT …/limits: what is absent or null is not the
// organization's own.
type limitsJSON struct {
	RequestsPerSecond *int `json:"requestsPerSecond"`
	RowsPerSecond     *int `json:"rowsPerSecond"`
	BodiesInFlight    *int `json:"bodiesInFlight"`
	ConcurrentExports *int `json:"concurrentExports"`
	StoredAudiences   *int `json:"storedAudiences"`
}

// changes names all limits.
func (in *limitsJSON) changes() (LimitChanges, error) {
	all := LimitChanges{}
	for limit, value := range map[leadevents.Limit]*int{
		leadevents.RequestsPerSecond: in.RequestsPerSecond, leadevents.RowsPerSecond: in.RowsPerSecond,
		leadevents.BodiesInFlight: in.BodiesInFlight, leadevents.ConcurrentExports: in.ConcurrentExports,
		leadevents.StoredAudiences: in.StoredAudiences,
	} {
		all[limit] = Unset
		if value == nil {
			continue
		}
		if err := leadevents.CheckLimit(limit, *value); err != nil { // Unset has no number here
			return nil, err
		}
		all[limit] = *value
	}
	return all, nil
}

// limitsOf reads whose limits the path names. What cannot be an id is nobody's.
func limitsOf(c *fiber.Ctx) (leadevents.OrgID, error) {
	text, err := httpserver.Param(c, "organizationId")
	if err != nil {
		return 0, err
	}
	org, err := ParseOrgID(text)
	if err != nil {
		return 0, leadevents.Errorf(leadevents.NotFound, "there is no organization of that number")
	}
	return org, nil
}

func (h *AdminHandler) organizationLimits(c *fiber.Ctx) error {
	if err := h.operates(c); err != nil {
		return err
	}
	org, err := limitsOf(c)
	if err != nil {
		return err
	}
	of, err := h.directory.Limits(httpserver.Context(c), org)
	if err != nil {
		return err
	}
	return c.JSON(of.Show())
}

func (h *AdminHandler) setOrganizationLimits(c *fiber.Ctx) error {
	if err := h.operates(c); err != nil {
		return err
	}
	var in limitsJSON
	if err := httpserver.ReadJSON(c, maxAdministration, &in); err != nil {
		return err
	}
	changes, err := in.changes()
	if err != nil {
		return err
	}
	org, err := limitsOf(c)
	if err != nil {
		return err
	}
	of, err := h.directory.SetLimits(operating(c), org, changes)
	if err != nil {
		return err
	}
	return c.JSON(of.Show())
}

func (h *AdminHandler) limits(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	of, err := h.directory.Limits(httpserver.Context(c), by.Org)
	if err != nil {
		return err
	}
	return c.JSON(of.Show())
}
