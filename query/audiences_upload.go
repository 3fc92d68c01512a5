package query

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/audit"
	"leadevents/journal"
	"leadevents/query/upload"
)

// Bounds of what an upload holds: two pieces, one filled while the other is
// stored, and a copy of that on its way. 100,000 leads with ids of 12 bytes are 3.6
// MB; a piece with longer ids is closed before it is larger than 8 MiB or so.
const (
	pieceLeads = 100_000
	pieceBytes = 8<<20 - 4*upload.MaxExternalID
	pieces     = 2
)

// A piece that could not be stored is sent again: storing it twice changes nothing.
const (
	pieceTries = 3
	piecePause = 500 * time.Millisecond
)

// maxLayers is how many layers an audience has before some are merged: what
// reads an audience opens them all.
const maxLayers = 32

// Uploaded is what an upload came to.
type Uploaded struct {
	Received   uint64 // Stored + Duplicates + Rejected
	Stored     uint64 // leads that are new in the audience; of a replace, all
	Duplicates uint64
	Rejected   uint64
	Rejects    []leadevents.RowReject // the first 50
}

// Enter takes a place for an upload, or refuses with 503; leave gives it back.
func (a *Audiences) Enter() (leave func(), err error) {
	select {
	case a.places <- struct{}{}:
		return func() { <-a.places }, nil
	default:
		a.metrics.full.Inc()
		e := leadevents.Errorf(leadevents.Unavailable, "%d uploads are running already (audiences.max_uploads); send this one again", a.cfg.MaxUploads)
		e.RetryAfter = 5 * time.Second
		return nil, e
	}
}

// Upload replaces an audience by the leads that rows gives, or adds them to it.
// It has the same effect whether it comes once or again.
//
//  1. stage: the rows are stored, piece by piece as they come, where nobody looks;
//  2. finish: the store makes a layer of them, each phone once;
//  3. commit: one inserted row makes the layer the audience, or a part of it;
//  4. what was staged is dropped.
//
// Whatever ends an upload before 3, a cut connection, a bad row, a crash, changes
// nothing: what is left behind is dropped at once, or by a sweep a day later. After
// an error of 3 the audience has changed or not, and nothing in between.
//
// most is how many audiences the organization may have, 0 without a limit: a new one
// beyond it is a 409.
func (a *Audiences) Upload(ctx context.Context, org leadevents.OrgID, id string, rows upload.Reader, replace bool, most int) (Uploaded, error) {
	layer := leadevents.NewLayer()
	result, accepted, err := a.stage(ctx, org, layer, rows)
	if accepted > 0 {
		defer a.drop(ctx, layer) // 4
	}
	if err == nil {
		if replace {
			result.Stored, err = a.replace(ctx, org, id, layer, accepted, most)
		} else {
			result.Stored, err = a.add(ctx, org, id, layer, accepted, most)
		}
	}
	if err == nil {
		result.Duplicates = accepted - result.Stored
	}
	a.metrics.count(result, err)
	return result, err
}

// drop forgets what was staged. It has a deadline of its own: a request's end is no
// reason to leave it.
func (a *Audiences) drop(ctx context.Context, layer leadevents.Layer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.InsertTimeout)
	defer cancel()
	if err := a.store.DropUpload(ctx, layer); err != nil {
		a.cfg.Logger.Warn("the rows of an upload stay until they are swept", "error", err)
	}
}

// stage reads all rows and stores those that are accepted.
func (a *Audiences) stage(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, rows upload.Reader) (result Uploaded, accepted uint64, err error) {
	erased, err := probe(ctx, a.cfg.Erased, org)
	if err != nil {
		return result, 0, err
	}
	taken := uint64(0) // back out of pieces
	full, free := make(chan *leadevents.LeadPiece), make(chan *leadevents.LeadPiece, pieces)
	for range pieces {
		free <- new(leadevents.LeadPiece)
	}
	storing, ctx := errgroup.WithContext(ctx)
	storing.Go(func() error {
		for piece := range full {
			// A slow client may have begun the piece long ago.
			now, err := probe(ctx, a.cfg.Erased, org)
			if err != nil {
				return err
			}
			if now != nil {
				taken += uint64(piece.Drop(now.Has))
			}
			if piece.Len() > 0 {
				if err := a.storePiece(ctx, org, layer, piece); err != nil {
					return err
				}
			}
			free <- piece // never waits: there are no more pieces than places
		}
		return nil
	})
	err = fill(ctx, rows, erased, &result, &accepted, full, free)
	close(full)
	// What ended the storing ended the reading too, and is the cause.
	if stored := storing.Wait(); stored != nil {
		err = stored
	} else if errors.Is(err, context.Canceled) {
		err = leadevents.Wrap(leadevents.Unavailable, err, "the server is stopping; send the same request again")
	}
	result.Rejected += taken
	return result, accepted - taken, err
}

// fill reads all rows into pieces.
func fill(ctx context.Context, rows upload.Reader, erased *journal.Probe, result *Uploaded, accepted *uint64, full chan<- *leadevents.LeadPiece, free <-chan *leadevents.LeadPiece) error {
	var (
		lead  upload.Lead
		piece *leadevents.LeadPiece
		err   error
	)
	for {
		if piece == nil {
			select {
			case piece = <-free:
				piece.Reset(*accepted)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err = rows.Next(&lead); err != nil {
			break
		}
		index := result.Received
		result.Received++
		phone, reason := lead.Judge()
		if reason == "" && erased.Has(phone) {
			reason = journal.ReasonErased
		}
		if reason != "" {
			if result.Rejected++; len(result.Rejects) < leadevents.MaxRejectsShown {
				result.Rejects = append(result.Rejects, lead.Reject(int(index), reason))
			}
			continue
		}
		piece.Append(phone, lead.ExternalID)
		*accepted++
		if piece.Len() < pieceLeads && piece.Bytes() < pieceBytes {
			continue
		}
		select {
		case full <- piece:
			piece = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != io.EOF {
		return err
	}
	if piece.Len() > 0 {
		select {
		case full <- piece:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// storePiece stores a piece, by a second and third try if need be.
func (a *Audiences) storePiece(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, piece *leadevents.LeadPiece) error {
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, a.cfg.InsertTimeout)
		err := a.store.StageLeads(attempt, org, layer, piece)
		cancel()
		if err == nil || try == pieceTries || leadevents.KindOf(err) != leadevents.Unavailable {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * piecePause):
		case <-ctx.Done():
			return err
		}
	}
}

// replace makes the layer the audience. The layer does not depend on what is
// there, so it is made before the audience's turn comes.
func (a *Audiences) replace(ctx context.Context, org leadevents.OrgID, id string, layer leadevents.Layer, rows uint64, most int) (leads uint64, err error) {
	finishing, cancel := context.WithTimeout(ctx, a.cfg.FinishTimeout)
	defer cancel()
	if leads, err = a.finish(finishing, org, layer, rows, nil); err != nil {
		return 0, err
	}
	err = a.commit(ctx, org, id, func(ctx context.Context, log leadevents.AudienceLog) error {
		return a.commitTo(ctx, org, id, log, most, audit.AudienceReplace, leadevents.AudienceCommit{
			Sequence: log.Next(), Layer: layer, Replaces: true, Leads: leads,
		})
	})
	return leads, err
}

// add makes the layer a part of the audience, which may not exist yet.
func (a *Audiences) add(ctx context.Context, org leadevents.OrgID, id string, layer leadevents.Layer, rows uint64, most int) (leads uint64, err error) {
	err = a.commit(ctx, org, id, func(ctx context.Context, log leadevents.AudienceLog) error {
		others, exists := log.Layers()
		if leads, err = a.finish(ctx, org, layer, rows, others); err != nil {
			return err
		}
		if leads == 0 && exists {
			return nil
		}
		err := a.commitTo(ctx, org, id, log, most, audit.AudienceAppend, leadevents.AudienceCommit{
			Sequence: log.Next(), Layer: layer, Base: log.Base(), Leads: leads,
		})
		if err != nil {
			return err
		}
		if content, _ := log.Content(); len(content)+1 > maxLayers {
			if err := a.merge(ctx, org, id); err != nil {
				a.cfg.Logger.Warn("the layers of an audience could not be merged; the next addition tries again", "organization", org, "error", err)
			}
		}
		return nil
	})
	return leads, err
}

// finish makes a layer of what was staged, if anything was.
func (a *Audiences) finish(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, rows uint64, others []leadevents.Layer) (uint64, error) {
	if rows == 0 {
		return 0, nil
	}
	return a.store.FinishLayer(ctx, org, layer, rows, others)
}

// merge makes one layer of an audience's last ones, at its turn.
func (a *Audiences) merge(ctx context.Context, org leadevents.OrgID, id string) error {
	log, err := a.store.AudienceLog(ctx, org, id)
	if err != nil {
		return err
	}
	content, _ := log.Content()
	audience, exists := log.Audience(id)
	tail := content[mergeFrom(content):]
	if !exists || len(tail) < 2 {
		return nil
	}
	into := leadevents.NewLayer()
	defer a.drop(ctx, into)
	var layers []leadevents.Layer
	for _, c := range tail {
		layers = append(layers, c.Layer)
	}
	leads, err := a.store.MergeLayers(ctx, org, into, layers)
	if err != nil {
		return err
	}
	a.metrics.merges.Inc()
	return a.store.CommitAudience(ctx, org, id, leadevents.AudienceCommit{
		// In the place of the first of them, for whoever reads them in order.
		Sequence: tail[0].Sequence, Layer: into, Base: log.Base(), Merged: log.Merge(tail),
		Leads: leads, Since: audience.CreatedAt, ChangedAt: audience.ChangedAt,
	})
}

// mergeFrom is where the layers begin that are to become one: all from the first
// that is not larger than what follows it. So a lead is written again only when
// its layer at least doubles, 24 times for 10 million single additions, and not with
// every merge.
func mergeFrom(content []leadevents.AudienceCommit) int {
	from, following := len(content)-1, uint64(0)
	for i := len(content) - 1; i >= 0; i-- {
		if content[i].Leads <= following {
			from = i
		}
		following += content[i].Leads
	}
	return from
}
