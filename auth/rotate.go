package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"leadevents"
	"leadevents/audit"
)

// MasterKeyUse is under which master keys the stored signing secrets and data keys are.
// Revoked signing keys count that still hold a secret.
type MasterKeyUse struct {
	MasterKeyID string `json:"masterKeyId"` // of the current one
	Secrets     int    `json:"secrets"`
	Current     int    `json:"current"`  // under the current key
	Old         int    `json:"old"`      // under another one of the settings
	Readable    bool   `json:"readable"` // all of them
	// Unreadable says which are under no key of the settings, or damaged.
	Unreadable []string `json:"unreadable,omitempty"`
}

// ExamineMasterKeys decrypts every stored signing secret and data key.
func (d *Directory) ExamineMasterKeys(ctx context.Context) (MasterKeyUse, error) {
	use, _, err := d.examineMasterKeys(ctx)
	return use, err
}

// underOld is what is stored under another master key than the current one.
type underOld struct {
	signing []SigningKey
	data    []DataKey
}

func (d *Directory) examineMasterKeys(ctx context.Context) (use MasterKeyUse, old underOld, err error) {
	r, err := d.loadAll(ctx)
	if err != nil {
		return use, old, err
	}
	data, err := d.loadDataKeys(ctx)
	if err != nil {
		return use, old, err
	}
	use.MasterKeyID = d.cfg.MasterKeys.current.ID()
	count := func(name, masterKeyID string, unreadable error) (isOld bool) {
		use.Secrets++
		switch {
		case unreadable != nil:
			use.Unreadable = append(use.Unreadable, fmt.Sprintf("%s: %v", name, unreadable))
		case masterKeyID == use.MasterKeyID:
			use.Current++
		default:
			use.Old++
			return true
		}
		return false
	}
	for _, k := range r.SigningKeys {
		if k.Sealed == "" {
			continue
		}
		if _, err := d.cfg.MasterKeys.open(k); count(fmt.Sprintf("signing key %s of organization %d", k.ID, k.Org), k.MasterKeyID, err) {
			old.signing = append(old.signing, k)
		}
	}
	for _, k := range data {
		if _, err := d.cfg.MasterKeys.openData(k); count("data key "+k.ID, k.MasterKeyID, err) {
			old.data = append(old.data, k)
		}
	}
	slices.Sort(use.Unreadable)
	use.Readable = len(use.Unreadable) == 0
	return use, old, nil
}

// RotateMasterKey encrypts every stored signing secret and data key anew that is under
// another master key than the current one. In steps, each safe to be the last:
//
//  1. decrypt all of them. If one cannot be, nothing is changed: another key may be
//     missing in the settings, and whoever then drops the old one loses secrets;
//  2. write each anew, one record at a time. Servers that have both keys read either
//     form, so it does not matter when they see it, and a rotation that was
//     interrupted is gone on with by the next one;
//  3. look again: what a server with older settings has made meanwhile is an error.
//
// A revocation at the same moment wins: see reencryptions.
func (d *Directory) RotateMasterKey(ctx context.Context) (before, after MasterKeyUse, err error) {
	if d.cfg.MasterKeys.current.ID() == "" {
		return before, after, leadevents.Errorf(leadevents.Conflict, "there is no master key to encrypt under: set LEADEVENTS_MASTER_KEY to the new one, and LEADEVENTS_OLD_MASTER_KEY to the one before")
	}
	d.admin.Lock()
	defer d.admin.Unlock()
	before, old, err := d.examineMasterKeys(ctx)
	if err != nil {
		return before, before, err
	}
	if !before.Readable {
		return before, before, leadevents.Errorf(leadevents.Conflict, "nothing was changed: %d of %d signing secrets cannot be decrypted (%s): set old_master_key to the key that they are under, or revoke those of signing keys",
			len(before.Unreadable), before.Secrets, someOf(before.Unreadable))
	}
	for _, k := range old.signing {
		anew, err := d.reencrypt(k)
		if err == nil {
			act := audit.Act{Action: audit.SigningKeyReencrypt, Object: k.ID, Detail: audit.Detail{"before": k.MasterKeyID, "masterKeyId": anew.MasterKeyID}}
			err = d.audit.Do(ctx, k.Org, act, func(ctx context.Context, _ audit.Detail) error {
				return thrice(ctx, func(ctx context.Context) error { return d.store.PutSigningKey(ctx, anew) })
			})
		}
		if err != nil {
			after, _, _ = d.examineMasterKeys(context.WithoutCancel(ctx)) // how far it has come, if that can be seen
			return before, after, leadevents.Wrap(leadevents.Unavailable, err, "the rotation was interrupted at signing key %s of organization %d: nothing is lost, run it again", k.ID, k.Org)
		}
	}
	for _, k := range old.data { // of no organization: there is no audit log to tell
		anew, err := d.reencryptData(k)
		if err == nil {
			err = thrice(ctx, func(ctx context.Context) error { return d.store.PutDataKey(ctx, anew) })
		}
		if err != nil {
			after, _, _ = d.examineMasterKeys(context.WithoutCancel(ctx))
			return before, after, leadevents.Wrap(leadevents.Unavailable, err, "the rotation was interrupted at data key %s: nothing is lost, run it again", k.ID)
		}
	}
	// Nobody has to hear of it: what servers hold is decrypted, and stays right.
	after, _, err = d.examineMasterKeys(ctx)
	if err == nil && after.Current != after.Secrets {
		err = leadevents.Errorf(leadevents.Conflict, "%d signing secrets were made under another master key meanwhile: give every server the new one as master_key, and run it again", after.Secrets-after.Current)
	}
	return before, after, err
}

// reencrypt is the record with its secret under the current key, proved by
// decrypting it.
func (d *Directory) reencrypt(k SigningKey) (SigningKey, error) {
	secret, err := d.cfg.MasterKeys.open(k)
	if err != nil {
		return k, err
	}
	anew := k
	anew.Sealed, anew.MasterKeyID, err = d.cfg.MasterKeys.seal(k.Org, k.ID, NewSecret(string(secret)))
	if err != nil {
		return k, err
	}
	if again, err := d.cfg.MasterKeys.open(anew); err != nil || subtle.ConstantTimeCompare(again, secret) != 1 {
		return k, errors.Join(errors.New("what was encrypted does not decrypt to the same"), err)
	}
	// Not Directory.version: the next version of this very record, which anybody's
	// change of it is above.
	anew.Version = k.Version + 1
	return anew, nil
}

// someOf is the first few of what may be many.
func someOf(all []string) string {
	const few = 3
	if len(all) <= few {
		return strings.Join(all, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(all[:few], "; "), len(all)-few)
}
