-- Version 3. Whether a viewer has the permissions wanted (4: read, 1: search), as visibility.permits and acl.allows
-- decide: an access list that the kernel would not take (acl.is_well_formed) grants nothing to others than the owner.
CREATE OR REPLACE FUNCTION permits(
  viewer BIGINT, viewer_groups BIGINT[], uid BIGINT, gid BIGINT, mode BIGINT, acl BYTEA, wanted INTEGER
) RETURNS BOOLEAN LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  by_groups INTEGER[] := '{}';
  others INTEGER;
  mask INTEGER;
  named BOOLEAN := false;
  before INTEGER := 0;
  tag INTEGER;
  bits INTEGER;
  by_user INTEGER;
  id BIGINT;
BEGIN
  IF uid IS NULL OR gid IS NULL OR mode IS NULL THEN RETURN false; END IF;
  IF viewer = uid THEN RETURN wanted & ~(mode >> 6)::INTEGER & 7 = 0; END IF;
  IF acl IS NOT NULL THEN
    IF length(acl) < 4 OR (length(acl) - 4) % 8 <> 0 OR substring(acl FOR 4) <> '\x02000000' THEN RETURN false; END IF;
    FOR at IN 4 .. length(acl) - 8 BY 8 LOOP
      tag := get_byte(acl, at) + 256 * get_byte(acl, at + 1);
      bits := get_byte(acl, at + 2) + 256 * get_byte(acl, at + 3);
      id := get_byte(acl, at + 4) + 256 * (get_byte(acl, at + 5) + 256 * (get_byte(acl, at + 6)
            + 256 * get_byte(acl, at + 7)::BIGINT));
      IF bits > 7 OR (tag IN (2, 8) AND id = 4294967295) THEN RETURN false; END IF;
      -- Which tag may follow which; 0: the list's beginning.
      IF (before, tag) NOT IN ((0, 1), (1, 2), (1, 4), (2, 2), (2, 4), (4, 8), (4, 16), (4, 32), (8, 8), (8, 16), (16, 32))
      THEN RETURN false; END IF;
      before := tag;
      named := named OR tag IN (2, 8);
      IF tag = 16 THEN
        mask := bits;
      ELSIF tag = 32 THEN
        others := bits;
      ELSIF tag = 2 AND id = viewer AND by_user IS NULL THEN
        by_user := bits;
      ELSIF (tag = 4 AND gid = ANY(viewer_groups)) OR (tag = 8 AND id = ANY(viewer_groups)) THEN
        by_groups := by_groups || bits;
      END IF;
    END LOOP;
    IF before <> 32 OR (named AND mask IS NULL) THEN RETURN false; END IF;
    IF mode & 56 <> 0 THEN
      mask := coalesce(mask, 7);
      IF by_user IS NOT NULL THEN RETURN wanted & ~(by_user & mask) = 0; END IF;
      IF cardinality(by_groups) > 0 THEN
        RETURN EXISTS (SELECT FROM unnest(by_groups) AS of_group WHERE wanted & ~(of_group & mask) = 0);
      END IF;
      RETURN wanted & ~others = 0;
    END IF;
  END IF;
  bits := CASE WHEN gid = ANY(viewer_groups) THEN mode >> 3 ELSE mode END & 7;
  RETURN wanted & ~bits & 7 = 0;
END
$$;
