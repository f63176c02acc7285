package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/test/linear"
)

// byKey splits a history into those of its keys.
func byKey(operations []Operation) map[string][]Operation {
	keys := make(map[string][]Operation)
	for _, o := range operations {
		keys[o.Op.Key] = append(keys[o.Op.Key], o)
	}
	return keys
}

// checkable converts operations for the check.
func checkable(operations []Operation) []linear.Operation {
	list := make([]linear.Operation, 0, len(operations))
	for _, o := range operations {
		list = append(list, linear.Operation{
			Client: o.Client, Op: o.Op, Call: o.Call, Return: o.Return, Finished: o.Finished, Result: o.Result, Text: o.String(),
		})
	}
	return list
}

// linearizable checks every key's history. It returns the key that violates it.
func linearizable(ctx context.Context, operations []Operation, limit time.Duration) (key string, err error) {
	verdict := linear.Check(ctx, checkable(operations), limit)
	if !verdict.Proven {
		return "", fmt.Errorf("%w: checking %d operations on %d keys takes longer than %v",
			ErrUnproven, len(operations), len(byKey(operations)), limit)
	}
	return verdict.Key, nil
}

// draw writes a picture of the history of one key, for a browser.
func draw(operations []Operation, limit time.Duration, path string) error {
	return linear.Draw(checkable(operations), limit, path)
}
