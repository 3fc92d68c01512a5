package ingest

import (
	"context"

	"leadevents"
)

// MaxIdempotencyKeyLength is in characters.
const MaxIdempotencyKeyLength = 200

// submitOnce is submit for a call with an Idempotency-Key:
//
//  1. take the key's lock: one attempt at a time, others are told 503;
//  2. look the key up in ClickHouse: an answered batch answers again from its
//     receipt, an unanswered one is resumed under its own batch id;
//  3. otherwise write key and batch id durably, before anything is stored, so
//     that whoever sends it again after a crash comes by the same id;
//  4. store and seal as every call, with claims on its keys (see ledger).
//
// A crash after 3 leaves a key without a receipt: 2 resumes it. The lock ends by
// itself when its holder dies, after a time longer than its request could take.
func (in *Ingester) submitOnce(ctx context.Context, call *Call) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.cfg.PeekTimeout)
	defer cancel()
	lockLife := 2*in.cfg.PeekTimeout + in.ledger.Deadline() + in.cfg.InsertTimeout
	unlock, ok, err := in.ledger.Lock(ctx, "idempotency:"+call.Org.String()+":"+call.IdempotencyKey, lockLife)
	if err != nil {
		return Result{}, err
	}
	if !ok {
		return Result{}, leadevents.Errorf(leadevents.Unavailable, "a request with this Idempotency-Key is still running; send the same request again in a moment")
	}
	defer unlock()

	since := leadevents.MillisOf(in.now().Add(-leadevents.IdempotencyLife))
	record, found, err := in.store.FindIdempotencyKey(ctx, call.Org, call.IdempotencyKey, since)
	if err != nil {
		return Result{}, err
	}
	if !found {
		call.id = leadevents.NewBatchID()
		record := leadevents.IdempotencyRecord{Batch: call.id, BodyHash: call.BodyHash, CreatedAt: leadevents.MillisOf(call.begun)}
		if err := in.store.SaveIdempotencyKey(ctx, call.Org, call.IdempotencyKey, record); err != nil {
			return Result{}, err
		}
		return in.submit(call)
	}
	if record.BodyHash != call.BodyHash {
		return Result{}, leadevents.Errorf(leadevents.Conflict, "this Idempotency-Key was used with another body within the last 24 hours (batch %s)", record.Batch)
	}
	receipt, answeredBefore, err := in.store.Receipt(ctx, call.Org, record.Batch, MaxRejectsShown)
	switch {
	case err != nil:
		return Result{}, err
	case answeredBefore && receipt.State == leadevents.BatchUndone:
		return Result{}, leadevents.Errorf(leadevents.Conflict, "batch %s, which this Idempotency-Key answered for, has been undone", record.Batch)
	case answeredBefore && receipt.State == leadevents.BatchDone:
		return answered(receipt), nil
	}
	call.id, call.resumed = record.Batch, true
	return in.submit(call)
}
