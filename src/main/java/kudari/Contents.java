package kudari;

import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;

/** What was in a map of tensors, and whether it still is: looked at in each step, so that nothing is allocated, and nothing hashed if it can be helped. */
final class Contents implements BiConsumer<String, Tensor> {

    /** Of {@link Map#of} and {@link Map#copyOf}: a map that cannot change has the same contents as long as it is the same map. */
    private static final Class<?> IMMUTABLE = Map.of().getClass().getSuperclass();

    private Map<String, Tensor> map;

    /** In the order in which the map gives them. */
    private final String[] names;

    private final Tensor[] tensors;
    private int at;
    private boolean same;

    Contents(Map<String, Tensor> given) {
        Map<String, Tensor> copy =
                new LinkedHashMap<>(given); // a copy, so that a map that changes meanwhile does no harm
        names = copy.keySet().toArray(new String[0]);
        tensors = copy.values().toArray(new Tensor[0]);
        map = given;
    }

    /** By name. */
    Map<String, Tensor> sorted() {
        Map<String, Tensor> sorted = new TreeMap<>(Comparator.nullsFirst(Comparator.naturalOrder()));
        for (int n = 0; n < names.length; n++) sorted.put(names[n], tensors[n]);
        return sorted;
    }

    /** Whether the memory of one of them is no more. */
    boolean isGone() {
        return Arrays.stream(tensors).anyMatch(Tensor::isGone);
    }

    /** Looks out for others in the place of tensors that have been closed, whose memory is still there. */
    void reopen() {
        map = Map.of(); // whose tensors may be others than these, of the same memory
        for (int n = 0; n < tensors.length; n++)
            if (tensors[n].isClosed()) tensors[n] = tensors[n].again().orElseThrow();
    }

    boolean isStill(Map<String, Tensor> given) {
        boolean immutable = IMMUTABLE.isInstance(given);
        if (immutable && given == map) return true;
        if (given == null || given.size() != names.length) return false;
        if (!immutable) {
            at = 0;
            same = true;
            given.forEach(this);
            if (same && at == names.length) return true;
        }
        // The same, it may be, in another order.
        for (int n = 0; n < names.length; n++) if (!tensors[n].isSame(given.get(names[n]))) return false;
        map = given;
        return true;
    }

    boolean isStill(Tensor given) {
        return names.length == 1 && tensors[0].isSame(given) && names[0].equals(Optimizer.SINGLE);
    }

    @Override
    public void accept(String name, Tensor tensor) {
        int n = at++;
        same &= n < names.length && tensors[n].isSame(tensor) && (names[n] == name || names[n].equals(name));
    }
}
