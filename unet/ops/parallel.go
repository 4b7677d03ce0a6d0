package ops

import "sync"

// parallel calls do for stretches that cover [0, n), on as many goroutines as threads say.
func parallel(threads, n int, do func(first, last int)) {
	threads = min(threads, n)
	if threads <= 1 {
		if n > 0 {
			do(0, n)
		}
		return
	}
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() { do(n*i/threads, n*(i+1)/threads) })
	}
	wg.Wait()
}
