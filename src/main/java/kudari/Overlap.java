package kudari;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * What some tensor lies on: of one memory the bytes {@code from} to {@code to}.
 *
 * @param isRead whether a step reads it only
 */
record Overlap(String what, boolean isRead, long from, long to) {

    /**
     * Checks that nothing that a step writes overlaps with anything else.
     *
     * @param readsGrads whether gradients stay as they are
     * @param states for each parameter its state arrays
     */
    static void check(
            Map<String, Tensor> params,
            Map<String, Tensor> grads,
            boolean readsGrads,
            List<Map<String, Tensor[]>> states) {
        Map<Object, List<Overlap>> memories = new IdentityHashMap<>();
        params.forEach((name, tensor) -> add(memories, "params '" + name + "'", false, tensor));
        grads.forEach((name, tensor) -> add(memories, "grads '" + name + "'", readsGrads, tensor));
        for (Map<String, Tensor[]> some : states) {
            some.forEach((name, arrays) -> {
                for (Tensor array : arrays) add(memories, "the state of '" + name + "'", false, array);
            });
        }
        memories.values().forEach(Overlap::check);
    }

    private static void add(Map<Object, List<Overlap>> memories, String what, boolean isRead, Tensor tensor) {
        if (tensor.size() == 0) return;
        memories.computeIfAbsent(tensor.memory(), memory -> new ArrayList<>())
                .add(new Overlap(what, isRead, tensor.from(), tensor.from() + tensor.bytes()));
    }

    private static void check(List<Overlap> spans) {
        spans.sort(Comparator.comparingLong(Overlap::from));
        Overlap written = null, read = null; // those that reach farthest so far
        for (Overlap span : spans) {
            Overlap other = written != null && written.to > span.from
                    ? written
                    : !span.isRead && read != null && read.to > span.from ? read : null;
            if (other != null)
                throw new IllegalArgumentException(span.what + ": expected memory of its own, got the same memory as "
                        + other.what + ", or a part of it");
            if (span.isRead) read = read == null || span.to > read.to ? span : read;
            else written = span;
        }
    }
}
