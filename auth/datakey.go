package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"leadevents"
)

// DataKey is a key of the server's own as it is stored: under the master key, like a
// signing secret. What is hashed under it, such as the phones of erased leads, means
// nothing to whoever has the tables alone.
type DataKey struct {
	ID          string
	Sealed      string
	MasterKeyID string
	CreatedAt   time.Time
	Version     uint64
}

// PlainDataKey is one that was decrypted: 32 random bytes.
type PlainDataKey struct {
	ID  string
	Key []byte
}

const dataKeySize = 32

// DataKeys are the server's own keys, the one to use for what is new first. Without any
// there is none; one that cannot be decrypted is an error, since what is hashed under it
// could not be told.
func (d *Directory) DataKeys(ctx context.Context) ([]PlainDataKey, error) {
	stored, err := d.loadDataKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]PlainDataKey, len(stored))
	for i, k := range stored {
		plain, err := d.cfg.MasterKeys.openData(k)
		if err != nil {
			return nil, leadevents.Wrap(leadevents.Unavailable, err, "data key %s cannot be decrypted: give the server the master key that it is under (master_key, old_master_key)", k.ID)
		}
		keys[i] = PlainDataKey{k.ID, plain}
	}
	return keys, nil
}

// MakeDataKey is DataKeys, after making one if there is none. Two processes that make the
// first at once make two, and both are keys from then on.
func (d *Directory) MakeDataKey(ctx context.Context) ([]PlainDataKey, error) {
	keys, err := d.DataKeys(ctx)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	if d.cfg.MasterKeys.current.aead == nil {
		return nil, leadevents.Errorf(leadevents.Conflict, errNoMasterKey, "data keys")
	}
	k := DataKey{ID: randomBase58(idLength), CreatedAt: d.moment(), Version: d.version(0)}
	plain := make([]byte, dataKeySize)
	_, _ = rand.Read(plain) // never fails since Go 1.24
	if k.Sealed, k.MasterKeyID, err = d.cfg.MasterKeys.sealFor(dataKeyFor(k.ID), plain); err != nil {
		return nil, err
	}
	if err := thrice(ctx, func(ctx context.Context) error { return d.store.PutDataKey(ctx, k) }); err != nil {
		return nil, leadevents.Wrap(leadevents.Unavailable, err, "a data key could not be stored; send the same request again")
	}
	return d.DataKeys(ctx)
}

// loadDataKeys reads them, oldest first.
func (d *Directory) loadDataKeys(ctx context.Context) ([]DataKey, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	stored, err := d.store.DataKeys(ctx)
	if err != nil {
		return nil, cannotRead(err)
	}
	slices.SortFunc(stored, func(a, b DataKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return stored, nil
}

// reencryptData is the record with its key under the current master key, proved by
// decrypting it.
func (d *Directory) reencryptData(k DataKey) (DataKey, error) {
	plain, err := d.cfg.MasterKeys.openData(k)
	if err != nil {
		return k, err
	}
	anew := k
	if anew.Sealed, anew.MasterKeyID, err = d.cfg.MasterKeys.sealFor(dataKeyFor(k.ID), plain); err != nil {
		return k, err
	}
	if again, err := d.cfg.MasterKeys.openData(anew); err != nil || subtle.ConstantTimeCompare(again, plain) != 1 {
		return k, errors.Join(errors.New("what was encrypted does not decrypt to the same"), err)
	}
	anew.Version = k.Version + 1
	return anew, nil
}

func (r Keyring) openData(k DataKey) ([]byte, error) {
	return r.openFor(dataKeyFor(k.ID), k.Sealed, k.MasterKeyID)
}

func dataKeyFor(id string) []byte { return append([]byte("leadevents data key\x00"), id...) }
