package kudari;

import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/** The groups of an optimizer, in their order, and which of them takes a parameter. Those that are not frozen are its parts, and have numbers of their own. */
final class Groups {

    final List<Group> all;

    /** Of each group the number of its part, or −1. */
    private final int[] parts;

    Groups(List<Group> all) {
        this.all = all;
        parts = new int[all.size()];
        int count = 0;
        for (int n = 0; n < parts.length; n++) parts[n] = all.get(n).schedule().isPresent() ? count++ : -1;
        if (count == 0) throw new IllegalArgumentException("groups: expected at least one with a rule, got " + all);
    }

    /** Those that are not frozen, in the order of their parts. */
    List<Group> moving() {
        return all.stream().filter(group -> group.schedule().isPresent()).toList();
    }

    /** The group of a part. */
    Group group(int part) {
        return all.get(IntStream.range(0, parts.length)
                .filter(n -> parts[n] == part)
                .findFirst()
                .orElseThrow());
    }

    /**
     * The part that a pattern names.
     *
     * @throws IllegalArgumentException if it names none, or more than one
     */
    int part(String pattern) {
        int[] of = IntStream.range(0, parts.length)
                .filter(n -> parts[n] >= 0 && all.get(n).pattern().equals(pattern))
                .map(n -> parts[n])
                .toArray();
        if (of.length == 0)
            throw new IllegalArgumentException(
                    "pattern '" + pattern + "': expected that of a group with a rule, got that of none of " + all);
        if (of.length > 1)
            throw new IllegalArgumentException("pattern '" + pattern + "': expected that of one group, got that of "
                    + of.length + " of " + all + "; give each its own, as '**' for '*'");
        return of[0];
    }

    /**
     * The part that takes a parameter; −1 if its group is frozen.
     *
     * @throws IllegalArgumentException if no group takes it
     */
    int part(String name, long[] shape) {
        return parts[group(name, shape)];
    }

    /** The parts that take a parameter of this name, of the right extents. */
    IntStream partsFor(String name) {
        return IntStream.range(0, parts.length)
                .filter(n -> parts[n] >= 0 && all.get(n).takesName(name))
                .map(n -> parts[n]);
    }

    /**
     * The part of each of some parameters.
     *
     * @param complete whether each group must have one of them
     */
    Map<String, Integer> parts(Map<String, Tensor> params, boolean complete) {
        Map<String, Integer> partOf = new HashMap<>();
        Set<Integer> taken = new HashSet<>();
        params.forEach((name, param) -> {
            int group = group(name, param.shape());
            taken.add(group);
            partOf.put(name, parts[group]);
        });
        if (complete && params.isEmpty())
            throw new IllegalArgumentException(
                    "params: expected at least one parameter at the first update, got none; is the map filled by then?");
        for (int n = 0; n < parts.length && complete; n++) {
            if (!taken.contains(n) && !all.get(n).mayBeEmpty()) throw takesNone(all.get(n), params);
        }
        return partOf;
    }

    private int group(String name, long[] shape) {
        for (int n = 0; n < parts.length; n++) {
            if (all.get(n).takes(name, shape)) return n;
        }
        throw new IllegalArgumentException("params '" + name + "' of shape " + Arrays.toString(shape)
                + ": no group takes it: " + all + "; add Group.rest(rule) or Group.frozen(name)");
    }

    private IllegalArgumentException takesNone(Group group, Map<String, Tensor> params) {
        Optional<String> lost = params.keySet().stream()
                .filter(name -> group.takes(name, params.get(name).shape()))
                .findFirst();
        String said = lost.isPresent()
                ? ": group " + all.get(group(lost.get(), params.get(lost.get()).shape())) + " before it takes '"
                        + lost.get() + "'; the first that fits takes a parameter, so the narrower group goes first"
                : ": takes none of the parameters " + Bindings.told(params.keySet())
                        + "; if they come later, say orEmpty()";
        return new IllegalArgumentException("group " + group + said);
    }

    @Override
    public String toString() {
        return all.toString();
    }
}
