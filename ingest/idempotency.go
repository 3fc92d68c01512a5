package ingest

import (
	"context"
	"errors"

	"leadevents"
	"leadevents/ingest/ledger"
)

// MaxIdempotencyKeyLength is in characters.
const MaxIdempotencyKeyLength = 200

// once says whether the call is to be stored under an Idempotency-Key.
func (c *Call) once() bool { return c.IdempotencyKey != "" && !c.DryRun }

// runOnce runs a group of calls with Idempotency-Keys:
//
//  1. take the keys' locks: one attempt at a time, others are told 503;
//  2. look the keys up in ClickHouse: an answered batch answers again from its
//     receipt, an unanswered one is resumed under its own batch id;
//  3. otherwise write keys and batch ids durably, before anything is stored, so
//     that whoever sends one again after a crash comes by the same id;
//  4. store and seal as every group, with claims on the keys (see ledger).
//
// A crash after 3 leaves a key without a receipt: 2 resumes it. The locks end by
// themselves when their holder dies, after a time longer than a group can take.
//
// The calls share the round trips and nothing else: no two of them hold the same
// event (see gatherer.apart), so each event has one candidate, whose earlier
// attempts alone say whether it is a resumed call's own. Were it another's, a
// resumed call that had sealed the event before it died would not be told so.
func (in *Ingester) runOnce(ctx context.Context, calls []*Call) {
	admitted, unlock, err := in.admit(ctx, calls)
	if err != nil {
		err = told(err)
		for _, call := range calls {
			if call.err == nil {
				call.err = err
			}
		}
	} else {
		in.runApart(ctx, admitted)
	}
	// First: who sends a key again, having read the answer, is not to find its lock.
	unlock()
	for _, call := range calls {
		call.finish(call.err)
	}
}

// runApart runs calls together. A key that too many have claimed in vain fails
// the calls that hold it; halving finds them, so that the others do not suffer.
func (in *Ingester) runApart(ctx context.Context, calls []*Call) {
	if len(calls) == 0 {
		return
	}
	err := in.runTogether(ctx, calls)
	if errors.Is(err, ledger.ErrCrowded) && len(calls) > 1 {
		in.runApart(ctx, calls[:len(calls)/2])
		in.runApart(ctx, calls[len(calls)/2:])
		return
	}
	for _, call := range calls {
		call.err = err
	}
}

// admit does steps 1 to 3 and returns the calls that are to be stored; the others
// have their results or errors. An error is that of all calls without one of
// their own. unlock is to be called in any case.
func (in *Ingester) admit(ctx context.Context, calls []*Call) (admitted []*Call, unlock func(), err error) {
	calls, unlock, err = in.lock(ctx, calls)
	if err != nil || len(calls) == 0 {
		return nil, unlock, err
	}
	keys := make([]leadevents.IdempotencyKey, len(calls))
	for i, call := range calls {
		keys[i] = leadevents.IdempotencyKey{Org: call.Org, Key: call.IdempotencyKey}
	}
	since := leadevents.MillisOf(in.now().Add(-leadevents.IdempotencyLife))
	found, err := in.store.FindIdempotencyKeys(ctx, keys, since)
	if err != nil {
		return nil, unlock, err
	}
	var (
		known   []*Call
		batches []leadevents.BatchRef
		fresh   []leadevents.IdempotencyKey
		records []leadevents.IdempotencyRecord
	)
	for i, call := range calls {
		record, ok := found[keys[i]]
		switch {
		case !ok:
			call.id = leadevents.NewBatchID()
			fresh = append(fresh, keys[i])
			records = append(records, leadevents.IdempotencyRecord{Batch: call.id, BodyHash: call.BodyHash, CreatedAt: leadevents.MillisOf(call.begun)})
			admitted = append(admitted, call)
		case record.BodyHash != call.BodyHash:
			call.err = leadevents.Errorf(leadevents.Conflict, "this Idempotency-Key was used with another body within the last 24 hours (batch %s)", record.Batch)
		default:
			call.id = record.Batch
			known, batches = append(known, call), append(batches, leadevents.BatchRef{Org: call.Org, Batch: record.Batch})
		}
	}
	resumed, err := in.answerAgain(ctx, known, batches)
	if err != nil {
		return nil, unlock, err
	}
	if len(fresh) > 0 {
		if err := in.store.SaveIdempotencyKeys(ctx, fresh, records); err != nil {
			return nil, unlock, err
		}
	}
	return append(admitted, resumed...), unlock, nil
}

// lock returns the calls whose keys nobody else works at.
func (in *Ingester) lock(ctx context.Context, calls []*Call) (held []*Call, unlock func(), err error) {
	life := 2*in.cfg.PeekTimeout + in.ledger.Deadline() + in.cfg.InsertTimeout
	running := leadevents.Errorf(leadevents.Unavailable, "a request with this Idempotency-Key is still running, or its server was killed and its key is free within %s; send the same request again in a moment", life)
	var (
		names []string
		first []*Call // of its key
		seen  = map[string]bool{}
	)
	for _, call := range calls {
		name := "idempotency:" + call.Org.String() + ":" + call.IdempotencyKey
		if seen[name] {
			call.err = running
			continue
		}
		seen[name] = true
		names, first = append(names, name), append(first, call)
	}
	free, unlock, err := in.ledger.Lock(ctx, names, life)
	if err != nil {
		return nil, func() {}, err
	}
	for i, call := range first {
		if free[i] {
			held = append(held, call)
		} else {
			call.err = running
		}
	}
	return held, unlock, nil
}

// answerAgain gives calls whose keys are known the answer of their batch, and
// returns those that were never answered.
func (in *Ingester) answerAgain(ctx context.Context, calls []*Call, batches []leadevents.BatchRef) (resumed []*Call, err error) {
	if len(calls) == 0 {
		return nil, nil
	}
	receipts, err := in.store.ReceiptsOf(ctx, batches, leadevents.MaxRejectsShown)
	if err != nil {
		return nil, err
	}
	for i, call := range calls {
		receipt, answeredBefore := receipts[batches[i]]
		switch {
		case answeredBefore && receipt.State == leadevents.BatchUndone:
			call.err = leadevents.Errorf(leadevents.Conflict, "batch %s, which this Idempotency-Key answered for, has been undone", call.id)
		case answeredBefore && receipt.State == leadevents.BatchDone:
			call.result = answered(receipt)
		default:
			call.resumed = true
			resumed = append(resumed, call)
		}
	}
	return resumed, nil
}
