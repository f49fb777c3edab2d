# Makes the classes of this package known and mmdet and mmseg importable without a compiled mmcv.
custom_imports = dict(imports=['mmvitdense'], allow_failed_imports=False)
