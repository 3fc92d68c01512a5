package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// Bounds of a walk through the keys. A page is some 0.3 ms of Redis' one thread.
const (
	walkPage  = 1000 // keys, and fields of a large bucket, at once
	walkAhead = 500  // commands in one pipeline
)

// Forget removes all keys of some leads of an organization, and claims on them, of every
// era and whatever their tokens; n is how many there were.
//
// It is for leads of whom no row is stored any more: an absent key then says "new", which
// is true (doc.go, "What an absent key proves", line 1, holds because nobody who asks was
// told otherwise: what was told of an erased lead counts no more). What is sealed while it
// walks, or by a rebuild that had read a row before it was deleted, it may miss: whoever
// calls it walks again when nobody can be about to, see [Ledger.Believed].
//
// Keys are not asked for by their times, for that would need the rows: claims of requests
// that died have none. So all of the organization's buckets are looked through, by the
// eight bytes with which the fields of a lead begin.
func (l *Ledger) Forget(ctx context.Context, org leadevents.OrgID, phones []leadevents.Phone) (n int, err error) {
	trust, err := l.current(ctx)
	if err != nil {
		return 0, err
	}
	bySub := map[string][]string{} // patterns by the part of a bucket's name that a phone gives it
	layout := l.layout(trust)
	for _, phone := range phones {
		sub := strconv.FormatUint(layout.sub(phone), 36)
		bySub[sub] = append(bySub[sub], fieldsOf(phone))
	}
	prefix := l.cfg.Prefix + "k"
	match := globEscape(prefix) + "*:" + strconv.FormatUint(uint64(org), 36) + ":*"
	for cursor := uint64(0); ; {
		names, next, err := l.control.ScanType(ctx, cursor, match, walkPage, "hash").Result()
		if err != nil {
			return n, l.unavailable(fmt.Errorf("walk through the keys: %w", err))
		}
		found, err := l.fields(ctx, org, trust.Era, prefix, names, bySub)
		if err == nil {
			err = l.deleteFields(ctx, found)
		}
		if err != nil {
			return n, l.unavailable(err)
		}
		for _, f := range found {
			n += len(f.fields)
		}
		if cursor = next; cursor == 0 {
			return n, nil
		}
	}
}

// fieldsOf is the pattern of a phone's fields.
func fieldsOf(phone leadevents.Phone) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(phone))
	return globEscape(string(b[:])) + "*"
}

// found is fields of one bucket.
type found struct {
	bucket string
	fields []string
}

// fields looks for fields in buckets of an organization.
func (l *Ledger) fields(ctx context.Context, org leadevents.OrgID, era, prefix string, names []string, bySub map[string][]string) (all []found, err error) {
	type search struct {
		bucket, pattern string
		cursor          uint64
	}
	var left []search
	for _, name := range names {
		ofEra, owner, sub, ok := ownerOf(strings.TrimPrefix(name, prefix))
		if !ok || owner != org {
			continue
		}
		patterns := bySub[sub]
		if sub == anySub || ofEra != era { // it may have been of another layout
			patterns = slices.Concat(slices.Collect(maps.Values(bySub))...)
		}
		for _, pattern := range patterns {
			left = append(left, search{bucket: name, pattern: pattern})
		}
	}
	for len(left) > 0 {
		now := left[:min(len(left), walkAhead)]
		left = left[len(now):]
		pipe := l.control.Pipeline()
		scans := make([]*redis.ScanCmd, len(now))
		for i, s := range now {
			scans[i] = pipe.HScan(ctx, s.bucket, s.cursor, s.pattern, walkPage)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("look into %d buckets: %w", len(now), err)
		}
		for i, scan := range scans {
			pairs, cursor, err := scan.Result()
			if err != nil {
				return nil, fmt.Errorf("look into a bucket: %w", err)
			}
			if len(pairs) > 0 {
				f := found{bucket: now[i].bucket}
				for pair := range slices.Chunk(pairs, 2) {
					f.fields = append(f.fields, pair[0])
				}
				all = append(all, f)
			}
			if cursor != 0 {
				left = append(left, search{now[i].bucket, now[i].pattern, cursor})
			}
		}
	}
	return all, nil
}

// anySub is the share of phones of an old bucket: all of them.
const anySub = "any"

// ownerOf reads organization and share of phones out of a bucket's name behind the
// prefix: era, organization, slot, share, event type (layout.name).
func ownerOf(name string) (era string, org leadevents.OrgID, sub string, ok bool) {
	parts := strings.SplitN(name, ":", 5)
	if len(parts) < 5 {
		return "", 0, "", false
	}
	if strings.HasPrefix(parts[2], oldSlot) {
		parts[3] = anySub
	}
	n, err := strconv.ParseUint(parts[1], 36, 64)
	return parts[0], leadevents.OrgID(n), parts[3], err == nil
}

func (l *Ledger) deleteFields(ctx context.Context, all []found) error {
	if len(all) == 0 {
		return nil
	}
	pipe := l.control.Pipeline()
	for _, f := range all {
		pipe.HDel(ctx, f.bucket, f.fields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("remove keys from %d buckets: %w", len(all), err)
	}
	return nil
}

// Believed looks at both stores now: whether the ledger is trusted, and in which epoch. A
// rebuild that was under way at some moment between two calls shows as another epoch, or
// as an untrusted one.
func (l *Ledger) Believed(ctx context.Context) (epoch string, trusted bool) {
	if err := l.look(ctx); err != nil {
		return "", false
	}
	t := l.trust.Load()
	return t.Epoch, t.State == Trusted
}

// Compact has Redis write its log on the disk anew, without what was removed: the log
// holds every command until it does.
func (l *Ledger) Compact(ctx context.Context) error {
	info, err := l.control.Info(ctx, "persistence").Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its log: %w", err)
	}
	if !strings.Contains(info, "aof_enabled:1") {
		return nil
	}
	if err := l.control.BgRewriteAOF(ctx).Err(); err != nil && !errors.Is(err, redis.Nil) && !strings.Contains(err.Error(), "in progress") {
		return fmt.Errorf("have Redis write its log anew: %w", err)
	}
	return nil
}
